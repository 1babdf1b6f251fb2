"""The part of ``RestClient`` that deals with checkpoints."""

from __future__ import annotations

from pathlib import Path

from tinsmith._clients.rest_base import Rest, address, checkpoint_address, unlike
from tinsmith._session.futures import APIFuture
from tinsmith._words.mistakes import explained
from tinsmith._words.progress import Progress
from tinsmith.types.rest import (
    CheckpointArchiveUrlResponse,
    CheckpointsListResponse,
    CopyWeightsResponse,
    ExternalWeightsUrlsResponse,
    WeightsInfoResponse,
)


@explained
class Checkpoints(Rest):
    """Lists, copies, publishes, expires, deletes and downloads checkpoints."""

    # ---- reading

    def list_checkpoints(self, training_run_id: str) -> APIFuture[CheckpointsListResponse]:
        """All checkpoints of one training run, newest first."""
        path = address("training_runs", training_run_id, "checkpoints")
        return self._ask("GET", path, CheckpointsListResponse)

    async def list_checkpoints_async(self, training_run_id: str) -> CheckpointsListResponse:
        """`list_checkpoints`, waited for."""
        return await self.list_checkpoints(training_run_id)

    def list_user_checkpoints(
        self, limit: int = 100, offset: int = 0
    ) -> APIFuture[CheckpointsListResponse]:
        """A page of all of the team's checkpoints, newest first.

        Args:
            limit: at most so many.
            offset: skip so many of the newest.

        >>> page = RestClient().list_user_checkpoints(limit=1).result()
        >>> page.checkpoints[0].tinker_path
        'tinker://...'
        """
        path = address("checkpoints", limit=limit, offset=offset)
        return self._ask("GET", path, CheckpointsListResponse)

    async def list_user_checkpoints_async(
        self, limit: int = 100, offset: int = 0
    ) -> CheckpointsListResponse:
        """`list_user_checkpoints`, waited for."""
        return await self.list_user_checkpoints(limit, offset)

    def get_weights_info_by_tinker_path(self, tinker_path: str) -> APIFuture[WeightsInfoResponse]:
        """The base model and the adapter's shape of a checkpoint."""
        return self._ask("POST", "weights_info", WeightsInfoResponse, {"tinker_path": tinker_path})

    async def get_weights_info_by_tinker_path_async(self, tinker_path: str) -> WeightsInfoResponse:
        """`get_weights_info_by_tinker_path`, waited for."""
        return await self.get_weights_info_by_tinker_path(tinker_path)

    # ---- changing

    def delete_checkpoint(self, training_run_id: str, checkpoint_id: str) -> APIFuture[None]:
        """Delete a checkpoint: it is gone at once; for a day, the dashboard can bring it back.

        Args:
            training_run_id: the run that saved it.
            checkpoint_id: e.g. ``weights/step-100``.

        Raises:
            NotFoundError: from the future: there is none.
        """
        path = address("training_runs", training_run_id, "checkpoints", checkpoint_id)
        return self._ask("DELETE", path, None)

    async def delete_checkpoint_async(self, training_run_id: str, checkpoint_id: str) -> None:
        """`delete_checkpoint`, waited for."""
        await self.delete_checkpoint(training_run_id, checkpoint_id)

    def delete_checkpoint_from_tinker_path(self, tinker_path: str) -> APIFuture[None]:
        """Delete the checkpoint of this ``tinker://`` path, as `delete_checkpoint` does."""
        return self._ask("DELETE", checkpoint_address(tinker_path), None)

    async def delete_checkpoint_from_tinker_path_async(self, tinker_path: str) -> None:
        """`delete_checkpoint_from_tinker_path`, waited for."""
        await self.delete_checkpoint_from_tinker_path(tinker_path)

    def publish_checkpoint_from_tinker_path(self, tinker_path: str) -> APIFuture[None]:
        """Let every team of the server load and sample a checkpoint. Again is fine."""
        return self._ask("POST", checkpoint_address(tinker_path, "publish"), None)

    async def publish_checkpoint_from_tinker_path_async(self, tinker_path: str) -> None:
        """`publish_checkpoint_from_tinker_path`, waited for."""
        await self.publish_checkpoint_from_tinker_path(tinker_path)

    def unpublish_checkpoint_from_tinker_path(self, tinker_path: str) -> APIFuture[None]:
        """Keep a checkpoint to one's own team again."""
        return self._ask("DELETE", checkpoint_address(tinker_path, "publish"), None)

    async def unpublish_checkpoint_from_tinker_path_async(self, tinker_path: str) -> None:
        """`unpublish_checkpoint_from_tinker_path`, waited for."""
        await self.unpublish_checkpoint_from_tinker_path(tinker_path)

    def set_checkpoint_ttl_from_tinker_path(
        self, tinker_path: str, ttl_seconds: int | None
    ) -> APIFuture[None]:
        """Say when a checkpoint is deleted.

        Args:
            tinker_path: the checkpoint.
            ttl_seconds: so long from now, 3600 up to ten years; None keeps it.
        """
        path = checkpoint_address(tinker_path, "ttl")
        return self._ask("PUT", path, None, {"ttl_seconds": ttl_seconds})

    async def set_checkpoint_ttl_from_tinker_path_async(
        self, tinker_path: str, ttl_seconds: int | None
    ) -> None:
        """`set_checkpoint_ttl_from_tinker_path`, waited for."""
        await self.set_checkpoint_ttl_from_tinker_path(tinker_path, ttl_seconds)

    def copy_weights(
        self,
        path: str,
        destination_project_id: str | None = None,
        *,
        ttl_seconds: int | None = None,
        weights_access_token: str | None = None,
    ) -> APIFuture[str]:
        """Copy a checkpoint into a new run of one's own team.

        Args:
            path: ``tinker://<run>/<kind>/<name>``, one's own, public, or opened by the token.
            destination_project_id: project of the new run's session; default that of the
                ``ServiceClient``, TINSMITH_PROJECT_ID, then ``default``.
            ttl_seconds: delete the copy after so long; None keeps it.
            weights_access_token: another team's permission.

        Returns:
            A future of the copy's path.

        >>> rest = RestClient()
        >>> source = rest.list_user_checkpoints(limit=1).result().checkpoints[0].tinker_path
        >>> rest.copy_weights(source, ttl_seconds=3600).result()
        'tinker://...'
        """
        body = {
            "source_path": path,
            "destination_project_id": destination_project_id or self._session.project_id,
            "ttl_seconds": ttl_seconds,
        }
        given = {name: value for name, value in body.items() if value is not None}
        headers = (
            None
            if weights_access_token is None
            else {"X-Tinker-Weights-Access-Token": weights_access_token}
        )

        async def copy() -> str:
            asked = self._session.ask("POST", "copy_weights", CopyWeightsResponse, given, headers)
            return (await asked).tinker_path

        return self._session.run(copy())

    async def copy_weights_async(
        self,
        path: str,
        destination_project_id: str | None = None,
        *,
        ttl_seconds: int | None = None,
        weights_access_token: str | None = None,
    ) -> str:
        """`copy_weights`, waited for."""
        return await self.copy_weights(
            path,
            destination_project_id,
            ttl_seconds=ttl_seconds,
            weights_access_token=weights_access_token,
        )

    # ---- downloading

    def get_external_weights_urls(self, tinker_path: str) -> APIFuture[ExternalWeightsUrlsResponse]:
        """Where the files of an ``external_weights`` checkpoint can be fetched without a key."""
        path = checkpoint_address(tinker_path, "external_weights_urls")
        return self._ask("GET", path, ExternalWeightsUrlsResponse)

    async def get_external_weights_urls_async(
        self, tinker_path: str
    ) -> ExternalWeightsUrlsResponse:
        """`get_external_weights_urls`, waited for."""
        return await self.get_external_weights_urls(tinker_path)

    def get_checkpoint_archive_url(
        self, training_run_id: str, checkpoint_id: str
    ) -> APIFuture[CheckpointArchiveUrlResponse]:
        """Where a checkpoint can be fetched as one tar file without a key."""
        path = address("training_runs", training_run_id, "checkpoints", checkpoint_id, "archive")
        return self._ask("GET", path, CheckpointArchiveUrlResponse)

    async def get_checkpoint_archive_url_async(
        self, training_run_id: str, checkpoint_id: str
    ) -> CheckpointArchiveUrlResponse:
        """`get_checkpoint_archive_url`, waited for."""
        return await self.get_checkpoint_archive_url(training_run_id, checkpoint_id)

    def get_checkpoint_archive_url_from_tinker_path(
        self, tinker_path: str
    ) -> APIFuture[CheckpointArchiveUrlResponse]:
        """`get_checkpoint_archive_url` of a ``tinker://`` path."""
        path = checkpoint_address(tinker_path, "archive")
        return self._ask("GET", path, CheckpointArchiveUrlResponse)

    async def get_checkpoint_archive_url_from_tinker_path_async(
        self, tinker_path: str
    ) -> CheckpointArchiveUrlResponse:
        """`get_checkpoint_archive_url_from_tinker_path`, waited for."""
        return await self.get_checkpoint_archive_url_from_tinker_path(tinker_path)

    def download_checkpoint(
        self, tinker_path: str, directory: str | Path, *, progress: Progress | bool = False
    ) -> Path:
        """Fetch a checkpoint's files, which PEFT and vLLM can load from where they end up.

        Args:
            tinker_path: a checkpoint of any kind.
            directory: a folder to make; it must not exist or be empty.
            progress: True shows a bar on a terminal; a function is called with
                (bytes so far, bytes in all or None).

        Returns:
            The folder.

        Raises:
            FileExistsError: there is something in the folder already.
            NotFoundError: there is no such checkpoint.

        >>> rest = RestClient()
        >>> newest = rest.list_user_checkpoints(limit=1).result().checkpoints[0]
        >>> folder = rest.download_checkpoint(newest.tinker_path, temporary / "adapter")
        >>> sorted(path.name for path in folder.iterdir())[:2]
        ['adapter_config.json', 'adapter_model.safetensors']
        """
        from tinsmith._http import downloads

        place = downloads.free_place(directory)
        if "/external_weights/" in tinker_path:
            urls = self.get_external_weights_urls(tinker_path).result().urls
            if not urls:
                raise unlike("external_weights_urls", "there are no files")
            return downloads.fetch_files(urls, place, progress)
        url = self.get_checkpoint_archive_url_from_tinker_path(tinker_path).result().url
        return downloads.fetch_archive(url, place, progress)
