"""Draws mailsuite/ladder.svg, the picture of mailsuite/README.md, from the imports of the tree.

    python3 -m tests.support.ladder_picture

Each row is a rung of the ladder, each box a room, its height the lines in it. A line leads from a room up to one that
it imports; left out are those that follow from others, because what they lead to is reached by a longer way.
"""

from tests.support.imports import BASE, LADDER, RUNG, arrows, modules, room_of

PICTURE = BASE / "mailsuite" / "ladder.svg"
# Pixels: of the picture, a row, a box, and what is left free between two boxes.
WIDTH, ROW, BOX, GAP, MARGIN = 1180, 96, 34, 12, 46
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2937; text-anchor: middle; }
.rung { fill: #6b7280; text-anchor: start; }
rect { fill: #e0e7ff; stroke: #6366f1; }
path { fill: none; stroke: #6b7280; stroke-opacity: .55; }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb; } .rung { fill: #9ca3af; } rect { fill: #312e81; stroke: #818cf8; } path { stroke: #9ca3af; }
}
"""


def room_edges() -> dict[str, set[str]]:
    """The rooms that each room imports, but for those that it reaches through another anyway."""
    edges: dict[str, set[str]] = {room: set() for room in RUNG}
    for source, target in arrows():
        of, to = room_of(source), room_of(target)
        if of != to and to in RUNG:
            edges[of].add(to)
    behind = {room: _reached(edges, room) for room in edges}
    return {room: {to for to in others if not any(to in behind[by] for by in others)} for room, others in edges.items()}


def _reached(edges: dict[str, set[str]], room: str) -> set[str]:
    found: set[str] = set()
    waiting = {room}
    while waiting:
        waiting = set().union(*(edges[name] for name in waiting)) - found
        found |= waiting
    return found


def places() -> dict[str, tuple[float, float, float]]:
    """Where each room's box stands: left, top and width, in pixels."""
    there = {room_of(name) for name in modules()}
    found = {}
    for number, row in enumerate(LADDER):
        rooms = [room for room in row.split() if room in there]
        widths = [24 + 7.4 * len(room) for room in rooms]
        left = MARGIN + (WIDTH - MARGIN - sum(widths) - GAP * (len(rooms) - 1)) / 2
        for room, width in zip(rooms, widths, strict=True):
            found[room] = left, 16 + number * ROW, width
            left += width + GAP
    return found


def draw() -> str:
    """The picture as SVG; the same imports give the same octets."""
    boxes = places()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(LADDER) * ROW}" role="img">',
        "<title>The rooms of Mailsuite by rung, and what each imports</title>",
        f"<style>{STYLE}</style>",
    ]
    for room, others in sorted(room_edges().items()):
        if not others:
            continue
        left, top, width = boxes[room]
        for other in sorted(others):
            to_left, to_top, to_width = boxes[other]
            x, to_x, to_y = left + width / 2, to_left + to_width / 2, to_top + BOX
            # Within a row, the line leaves and comes from above.
            bend = to_top - 14 if to_top == top else (top + to_y) / 2
            end = to_top if to_top == top else to_y
            lines.append(f'<path d="M{x:.0f} {top} C{x:.0f} {bend:.0f} {to_x:.0f} {bend:.0f} {to_x:.0f} {end}"/>')
    for number in range(len(LADDER)):
        lines.append(f'<text class="rung" x="8" y="{38 + number * ROW}">{number + 1}</text>')
    for room, (left, top, width) in boxes.items():
        lines.append(f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{BOX}" rx="6"/>')
        lines.append(f'<text x="{left + width / 2:.0f}" y="{top + 22}">{room}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw())
