"""The web application: its routes and responses."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from ppose.errors import DataError
from ppose.files import to_json
from ppose.inference.detectors import PersonDetector
from ppose.inference.pose_files import stack_poses
from ppose.inference.poses import Poses
from ppose.inference.predictor import Predictor
from ppose.serving.admission import Admission
from ppose.serving.batching import Batcher
from ppose.serving.limits import Limits
from ppose.serving.metrics import Metrics
from ppose.serving.request import JsonRequest, read_request
from ppose.visualize import draw_poses, encode_picture

POSES = "/v1/poses"
_PAGE = {"/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css")}
_PAGE |= {f"/{name}": (name, "text/javascript") for name in ("page.js", "view.js")}
# The page loads nothing from other sites, and no site may frame it.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class PersonAnswer(BaseModel):
    """A person: the box x, y, width, height; x, y and score of each keypoint; the mean of the scores."""

    bbox: list[float]
    keypoints: list[float]
    score: float


class PosesAnswer(BaseModel):
    """The people of an image of this size, in pixels of the image after rotation by its EXIF orientation."""

    model: str
    width: int
    height: int
    poses: list[PersonAnswer]


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": _BINARY["schema"], "boxes": {"type": "string"}},
}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "image/*": _BINARY,
        "multipart/form-data": {"schema": _FORM},
        "application/json": {"schema": JsonRequest.model_json_schema()},
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": PosesAnswer, "content": {"image/jpeg": _BINARY}},
    400: {"description": "the request cannot be parsed"},
    408: {"description": "the body did not arrive in time"},
    413: {"description": "more bytes or pixels than the server accepts"},
    415: {"description": "not an image, or an unsupported format"},
    503: {"description": "busy: try again after the seconds of Retry-After"},
}


def make_app(
    predictor: Predictor,
    name: str,
    *,
    find_people: PersonDetector | None = None,
    limits: Limits,
    delay: float = 0.005,
) -> FastAPI:
    """Return the application that serves a predictor under a name.

    ``find_people`` finds people in images without boxes. A batch waits at most ``delay`` seconds, see
    `Batcher`. For `ppose serve` and other ASGI servers, which must limit heads of requests themselves.
    """
    metrics = Metrics()
    batcher = Batcher(
        predictor,
        find_people,
        delay=delay,
        pixels=2 * limits.pixels,
        on_batch=metrics.batch_size.observe,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(batcher.close)

    app = FastAPI(title="ppose", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Admission, path=POSES, most=limits.requests, metrics=metrics)
    _add_page(app)
    about = _describe(predictor, name, has_detector=find_people is not None)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server runs batches; 503 if it does not."""
        if not batcher.is_alive:
            raise HTTPException(503, "the server no longer runs batches")
        return {"status": "ok"}

    @app.get("/metrics")
    async def show_metrics() -> Response:
        """Counters in Prometheus's text format."""
        return Response(metrics.to_text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The served model: names of keypoints, left-right pairs, limbs, input size."""
        return {"models": [about]}

    @app.post(POSES, responses=_ANSWERS, openapi_extra={"requestBody": _REQUEST_BODY})
    async def find_poses(
        request: Request,
        boxes: Annotated[str | None, Query(description="JSON: [[x, y, width, height], ...]")] = None,
        draw: Annotated[bool, Query(description="answer with the drawn picture, as JPEG")] = False,
        threshold: Annotated[float, Query(ge=0, le=1, description="lowest score drawn")] = 0.2,
    ) -> Response:
        """The poses of the people in an image, sent as the body, as the form part `image`, or in JSON.

        Boxes come in the query, the form or the JSON. Without boxes, the server's detector finds the people;
        without a detector, the whole image is one person.
        """
        with batcher.reading():
            job = await read_request(request, boxes, limits)
            batcher.submit(job)
        try:
            image, poses = await asyncio.wait_for(asyncio.wrap_future(job.found), limits.answer_seconds)
        except DataError as error:
            raise HTTPException(415, str(error)) from None
        except (TimeoutError, asyncio.TimeoutError):
            busy = f"no answer within {limits.answer_seconds:g} s; try again later"
            raise HTTPException(503, busy, {"Retry-After": "1"}) from None
        metrics.people.inc(len(poses))
        if draw:
            try:
                picture = await run_in_threadpool(_draw, image, poses, predictor, threshold)
            except DataError as error:  # longer than a JPEG can be
                raise HTTPException(422, str(error)) from None
            return Response(picture, media_type="image/jpeg")
        return Response(_to_json(name, image, poses), media_type="application/json")

    return app


def _to_json(name: str, image: np.ndarray, poses: Poses) -> str:
    height, width = image.shape[:2]
    people = [pose.to_record() for pose in poses]
    return to_json({"model": name, "width": width, "height": height, "poses": people}, "the poses")


def _draw(image: np.ndarray, poses: Poses, predictor: Predictor, threshold: float) -> bytes:
    drawn = draw_poses(image, stack_poses(poses), predictor.keypoint_set, threshold=threshold)
    return encode_picture(drawn, ".jpg")


def _describe(predictor: Predictor, name: str, *, has_detector: bool) -> dict[str, Any]:
    keypoint_set = dataclasses.asdict(predictor.keypoint_set)
    return {
        "name": name,
        "keypoint_set": keypoint_set["name"],
        "keypoints": keypoint_set["names"],
        "flip_pairs": keypoint_set["flip_pairs"],
        "skeleton": keypoint_set["skeleton"],
        "input_size": predictor.spec.input_size,
        "runtime": predictor.runtime_name,
        "finds_people": has_detector,
    }


def _add_page(app: FastAPI) -> None:
    """Serve the page's files from memory, by fixed paths: no path from a client is ever opened."""
    folder = resources.files("ppose.serving") / "page"
    for path, (file, kind) in _PAGE.items():
        answer = Response((folder / file).read_bytes(), media_type=kind, headers=_PAGE_HEADERS)
        app.add_route(path, _always(answer), include_in_schema=False)


def _always(answer: Response) -> Callable[[Request], Awaitable[Response]]:
    async def show(_: Request) -> Response:
        return answer

    return show
