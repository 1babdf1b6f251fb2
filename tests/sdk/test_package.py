"""The package as a whole: what importing costs, its names, futures, errors, examples."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import doctest
import importlib
import os
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, Stub
from tinsmith import errors
from tinsmith._session import background

SOURCE = Path(tinsmith.__file__).parent
HEAVY = ("torch", "transformers", "pydantic", "httpx", "numpy", "google.protobuf")


def modules_after(code: str) -> set[str]:
    """The heavy modules that a fresh interpreter has loaded after `code`."""
    program = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    return set(out.stdout.split())


def test_importing_loads_only_what_is_used() -> None:
    assert modules_after("import tinsmith") == set()
    assert modules_after("import tinsmith.wire") == {"google.protobuf"}
    everything = "import tinsmith; [getattr(tinsmith, name) for name in tinsmith.__all__]"
    assert modules_after(everything) == {"numpy", "google.protobuf"}
    asking = "import tinsmith; tinsmith.ServiceClient(base_url='http://127.0.0.1:9', api_key='k')"
    assert "httpx" not in modules_after(asking)


def test_the_three_lists_of_public_names_agree() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    for_type_checkers = {
        alias.name
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert for_type_checkers | {"__version__", "__title__"} == set(tinsmith.__all__)
    assert sorted(tinsmith.__all__) == dir(tinsmith)
    for name in tinsmith.__all__:
        assert getattr(tinsmith, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        tinsmith.nonsense  # noqa: B018


def test_names_and_methods_of_the_public_client_are_here() -> None:
    public = """
        ServiceClient TrainingClient SamplingClient APIFuture AdamParams Datum EncodedTextChunk
        ImageChunk ForwardBackwardOutput LoraConfig ModelID ModelInput ModelInputChunk
        OptimStepResponse SampledSequence SampleResponse SamplingParams StopReason TensorData
        TensorDtype CheckpointType ParsedCheckpointTinkerPath TinkerError APIError APIStatusError
        APITimeoutError APIConnectionError APIResponseValidationError RequestFailedError
        BadRequestError AuthenticationError BillingError PermissionDeniedError NotFoundError
        ConflictError UnprocessableEntityError RateLimitError InternalServerError types
    """
    assert set(public.split()) <= set(tinsmith.__all__)
    with_twin = {
        tinsmith.ServiceClient: """create_lora_training_client create_training_client_from_state
            create_training_client_from_state_with_optimizer create_sampling_client
            get_server_capabilities""",
        tinsmith.TrainingClient: """forward forward_backward forward_backward_custom optim_step
            save_state load_state load_state_with_optimizer save_weights_for_sampler get_info
            save_weights_and_get_sampling_client create_sampling_client""",
        tinsmith.SamplingClient: "sample compute_logprobs get_base_model",
    }
    for kind, names in with_twin.items():
        for name in names.split():
            assert callable(getattr(kind, name)), name
            assert asyncio.iscoroutinefunction(getattr(kind, f"{name}_async")), name


def test_everything_public_is_documented_and_files_stay_short() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.name == "wire_pb2.py":
            continue
        text = path.read_text()
        assert len(text.splitlines()) <= 450, path
        tree = ast.parse(text)
        assert ast.get_docstring(tree), path
        tops = [*tree.body]
        tops += [
            inner for node in tree.body if isinstance(node, ast.ClassDef) for inner in node.body
        ]
        for node in tops:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            assert node.name.startswith("_") or ast.get_docstring(node), (path.name, node.name)


def test_the_examples_that_need_no_server_run() -> None:
    # The others run against a live platform: tests/contract/test_sdk_examples.py
    for module in pkgutil.walk_packages(tinsmith.__path__, "tinsmith."):
        if module.name.startswith(("tinsmith.types", "tinsmith.cli.")):
            failed, _ = doctest.testmod(importlib.import_module(module.name))
            assert failed == 0, module.name


def test_the_sdk_imports_nothing_of_the_platform() -> None:
    allowed = {"tinsmith", "httpx", "msgspec", "numpy", "google", "torch", "transformers"}
    allowed.add("huggingface_hub")  # only when a checkpoint is pushed there
    allowed |= {"datasets", "pyarrow"}  # only when such a data set or file is loaded
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in allowed or top in sys.stdlib_module_names, (path, name)


def test_errors_survive_pickling() -> None:
    status = errors.from_status(404, "gone", body={"a": 1}, headers={"x": "y"}, what="GET /z")
    for error in (status, errors.RequestFailedError("no", "r:1", "user"), errors.APIError("x")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
    assert issubclass(tinsmith.RequestFailedError, tinsmith.TinkerError)


def test_futures_work_with_the_standard_library(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    training = service.create_lora_training_client(BASE_MODEL)
    steps = [training.optim_step() for _ in range(3)]
    done, _ = concurrent.futures.wait([step.future() for step in steps], timeout=5)
    assert len(done) == 3
    called: list[object] = []
    steps[0].add_done_callback(called.append)
    assert called == [steps[0].future()]
    assert (steps[0].done(), steps[0].cancelled(), steps[0].exception()) == (True, False, None)
    assert training.future().result(5) is training

    async def gather() -> list[object]:
        return await asyncio.gather(*steps, asyncio.create_task(training.coroutine()))

    assert asyncio.run(gather())[-1] is training


def test_waiting_on_the_sdks_own_thread_is_refused_instead_of_hanging(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    training = service.create_lora_training_client(BASE_MODEL)

    async def on_the_loop() -> None:
        step = training.optim_step()
        with pytest.raises(RuntimeError, match="wait for itself"):
            step.result()
        await step

    background.run(on_the_loop()).result(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_loop_of_its_own(stub: Stub) -> None:
    program = f"""
import os, tinsmith
def ask():
    service = tinsmith.ServiceClient(base_url={stub.url!r}, api_key="tml-x")
    return len(service.get_server_capabilities().supported_models)
assert ask() == 1
child = os.fork()
if child == 0:
    os._exit(0 if ask() == 1 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
