"""A server of the Python package `mcp`: mcp_package_server.py [PORT] (stdio without)."""
import sys
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

server = MCPServer("package")


class Room(BaseModel):
    room: str
    floor: int = 1


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers"""
    return a + b


@server.tool()
def fail() -> str:
    """Always fails"""
    raise ValueError("on purpose")


@server.tool()
async def slow(steps: int, ctx: Context) -> str:
    """Tells how far it is"""
    import anyio
    for i in range(steps):
        await ctx.report_progress(i, steps)
        await anyio.sleep(0.4)
    return "done"


async def ask_room() -> Elicit[Room]:
    return Elicit("Where is it?", Room)


@server.tool()
async def place(where: Annotated[Room, Resolve(ask_room)]) -> str:
    """Asks the user"""
    return "%s, floor %d" % (where.room, where.floor)


if len(sys.argv) > 1:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run()
