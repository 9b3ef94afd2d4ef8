"""Points reach a server of the v2 write API, or are dropped; nobody waits for them."""

from __future__ import annotations

import http.server
import math
import threading
from collections.abc import Iterator

import pytest

from core.state import Point
from storage.influx import InfluxSink
from tests.waiting import PATIENCE


class Server:
    """Takes writes.  `answer` is its status; `calls` are (path, authorization, body)."""

    def __init__(self) -> None:
        self.answer = 204
        self.calls: list[tuple[str, str, str]] = []
        self.called = threading.Condition()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with server.called:
                    answer = server.answer
                    server.calls.append((self.path, self.headers["Authorization"], body))
                    server.called.notify_all()
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)

    def lines(self) -> list[str]:
        return [line for _, _, body in self.calls for line in body.splitlines()]

    def await_calls(self, n: int) -> None:
        with self.called:
            assert self.called.wait_for(lambda: len(self.calls) >= n, PATIENCE), (
                f"{n} calls; there were {len(self.calls)}"
            )


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def sink_to(url: str, capacity: int = 1000) -> InfluxSink:
    return InfluxSink(url=url, org="penstock", bucket="mail", token="t0ken", capacity=capacity)


def point(n: float, **tags: str) -> Point:
    return Point(measurement="penstock_lane", tags=tags, fields={"value": n}, at=1_800_000_000.5)


async def test_points_arrive_as_lines_of_one_request(server: Server) -> None:
    sink = sink_to(server.url)
    sink.write([point(1, provider="mail ru"), point(2.5), Point(measurement="m", tags={}, fields={"v": 3.0})])
    await sink.close()
    assert server.lines() == [
        r"penstock_lane,provider=mail\ ru value=1 1800000000500000000",
        "penstock_lane value=2.5 1800000000500000000",
        "m v=3",
    ]
    path, authorization, _ = server.calls[0]
    assert path.startswith("/api/v2/write?")
    assert "bucket=mail" in path
    assert authorization == "Token t0ken"
    assert (sink.waiting, sink.dropped) == (0, 0)


async def test_values_that_are_no_numbers_are_left_out(server: Server) -> None:
    sink = sink_to(server.url)
    sink.write([point(math.nan), Point(measurement="m", tags={}, fields={"a": math.inf, "b": 1.0}), point(7)])
    await sink.close()
    assert server.lines() == ["m b=1", "penstock_lane value=7 1800000000500000000"]


async def test_a_full_line_drops_its_oldest_and_nobody_waits() -> None:
    sink = sink_to("http://127.0.0.1:1", capacity=10)
    for n in range(200):
        sink.write([point(n)])
    assert sink.waiting <= 10
    await sink.close()
    assert sink.dropped == 200
    sink.write([point(1)])
    assert sink.dropped == 201


async def test_what_the_server_refuses_is_dropped_and_the_next_goes_through(server: Server) -> None:
    server.answer = 400
    sink = sink_to(server.url)
    sink.write([point(1), point(2)])
    server.await_calls(1)
    server.answer = 204
    sink.write([point(3)])
    await sink.close()
    assert server.lines()[-1].startswith("penstock_lane value=3")
    assert sink.dropped == 2


async def test_an_overloaded_server_gets_the_same_points_again(server: Server) -> None:
    server.answer = 503
    sink = sink_to(server.url)
    sink.write([point(1)])
    server.await_calls(1)
    server.answer = 204
    await sink.close()
    assert server.lines()[0] == server.lines()[-1]
    assert len(server.calls) >= 2
    assert sink.dropped == 0
