"""A TCP proxy that makes a network of one machine: with delay, connections that break, and partitions that heal."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

from evoae_cli.hosts.address import LOOPBACK, Address

_PIECE = 1 << 16


class Proxy:
    """Forwards what arrives at `address` to `target`, each piece `delay_s` later, from construction to `stop`.

    All methods may be called from any thread.
    """

    def __init__(self, target: Address, delay_s: float = 0.0) -> None:
        self._target = target
        self._delay_s = delay_s
        self._loop = asyncio.new_event_loop()
        # All mutable state, touched only by the loop.
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="evoae proxy", daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._run(self._listen())
        self.address = Address(LOOPBACK, self._server.sockets[0].getsockname()[1])

    def cut(self) -> int:
        """Break all connections; says how many."""
        n: int = self._run(self._cut())
        return n

    def part(self) -> None:
        """Let nothing through, in neither direction, as if a cable was pulled: connections stay, and are silent."""
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def heal(self) -> None:
        """Let everything through again."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    def stop(self) -> None:
        """Break all connections, and listen no more."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, LOOPBACK, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._is_whole.wait()
            there, back = await asyncio.open_connection(*self._target)
            self._writers.add(back)
            try:
                await asyncio.gather(self._forward(reader, back), self._forward(there, writer))
            finally:
                self._writers.discard(back)
                back.close()
        except OSError:
            # The target is gone: so is the connection.
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass pieces on in order, each when its time has come, whatever comes meanwhile."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take() -> None:
            data = b"-"
            while data:
                try:
                    data = await source.read(_PIECE)
                except OSError:
                    data = b""
                await pieces.put((self._loop.time() + self._delay_s, data))

        taking = self._loop.create_task(take())
        try:
            while True:
                due_at, data = await pieces.get()
                await asyncio.sleep(max(0.0, due_at - self._loop.time()))
                await self._is_whole.wait()
                if not data:
                    return
                with contextlib.suppress(OSError):
                    sink.write(data)
                    await sink.drain()
        finally:
            taking.cancel()
            sink.close()

    async def _cut(self) -> int:
        n = len(self._writers) // 2
        for writer in list(self._writers):
            writer.transport.abort()
        return n

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        await asyncio.sleep(0)
