"""What a server says about itself to clients: its limits, and which of its routes they may use."""

from __future__ import annotations

import msgspec

from tinsmith._training import batches

MAX_SAMPLES_IN_FLIGHT = 1000


class ClientConfig(msgspec.Struct, frozen=True):
    """Asked for once a session; the server may leave out any of them.

    Attributes:
        fwdbwd_max_chunk_len, fwdbwd_max_chunk_bytes_count: datums and bytes of one request.
        parallel_fwdbwd_chunks: whether the requests of one batch may be sent side by side.
        sample_max_concurrent_requests: samples of one client that may be open at a time.
        sample_use_retrieve_futures: whether one poll tells of all samples of a client.
        sample_join_sampling_session: whether the server numbers the copies of a client.
    """

    fwdbwd_max_chunk_len: int = batches.MAX_DATUMS
    fwdbwd_max_chunk_bytes_count: int = batches.MAX_BYTES
    parallel_fwdbwd_chunks: bool = True
    sample_max_concurrent_requests: int = MAX_SAMPLES_IN_FLIGHT
    sample_use_retrieve_futures: bool = False
    sample_join_sampling_session: bool = False


class DynamicConfig(msgspec.Struct, frozen=True):
    """What may change during a session.

    Attributes:
        refresh_interval_sec: for how many seconds an answer may be relied on.
        sample_cancel_enabled: whether the server wants to hear of samples that were given up.
    """

    refresh_interval_sec: float = 300.0
    sample_cancel_enabled: bool = False
