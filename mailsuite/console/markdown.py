"""As much of Markdown as our own guide is written in, as HTML: headings with anchors, paragraphs, tables, lists, code.

For texts of this project alone: everything is escaped, and links lead where the caller says.
"""

import re
from collections.abc import Callable, Iterator
from html import escape

Address = Callable[[str], str]
_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)")
FENCE, INDENT = "```", "    "
_CELL = re.compile(r"(?<!\\)\|")
_HEADING = re.compile(r"(#{1,4}) (.+)")


def heading(text: str) -> str:
    """What the first heading says, without its marks."""
    return next((match[2] for match in map(_HEADING.match, text.splitlines()) if match), "")


def anchor(title: str) -> str:
    """The name of a heading in links, as code hosts make it: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def render(text: str, address: Address) -> str:
    """HTML of the whole text. `address` says where a link's target leads; its words stand alone where that is ""."""
    return "\n".join(_block(block, address) for block in _blocks(text))


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block; code, fenced or indented, keeps its blank lines."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        is_fenced = bool(block) and block[0].startswith(FENCE)
        if is_fenced and line != FENCE:
            block.append(line)
        elif is_fenced:
            yield block
            block = []
        elif block and block[0].startswith(INDENT) and (line.startswith(INDENT) or not line.strip()):
            block.append(line)
        elif not line.strip() or _HEADING.match(line) or (block and block[0].startswith(INDENT)):
            if block:
                yield block
            block = [line] if line.strip() else []
        else:
            block.append(line)
        if len(block) == 1 and _HEADING.match(block[0]):
            yield block
            block = []
    if block:
        yield block


def _block(lines: list[str], address: Address) -> str:
    if match := _HEADING.match(lines[0]):
        level, title = len(match[1]), match[2]
        return f'<h{level} id="{anchor(title)}">{_inline(title, address)}</h{level}>'
    if lines[0].startswith(FENCE):
        return _code(lines[1:])
    if lines[0].startswith(INDENT):
        return _code([line.removeprefix(INDENT) for line in lines])
    if lines[0].startswith("|") and len(lines) > 1:
        return _table(lines, address)
    if lines[0].startswith("- "):
        items = re.split(r"(?m)^- ", "\n".join(lines))[1:]
        return "<ul>" + "".join(f"<li>{_inline(item.strip(), address)}</li>" for item in items) + "</ul>"
    return f"<p>{_inline(' '.join(lines), address)}</p>"


def _code(lines: list[str]) -> str:
    text = escape("\n".join(lines).rstrip("\n"))
    return f'<pre tabindex="0"><code>{text}</code></pre>'


def _table(lines: list[str], address: Address) -> str:
    rows = [[cell.strip().replace(r"\|", "|") for cell in _CELL.split(line.strip().strip("|"))] for line in lines]
    head = "".join(f'<th scope="col">{_inline(cell, address)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_inline(cell, address)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return (
        f'<div class="ms-scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _inline(text: str, address: Address) -> str:
    """One run of text. What stands between backticks is code, whatever it looks like."""
    html, at = [], 0
    for match in _INLINE.finditer(text):
        code, strong, emphasis, words, target = match.groups()
        html.append(escape(text[at : match.start()]))
        at = match.end()
        if code is not None:
            html.append(f"<code>{escape(code)}</code>")
        elif strong is not None:
            html.append(f"<strong>{_inline(strong, address)}</strong>")
        elif emphasis is not None:
            html.append(f"<em>{_inline(emphasis, address)}</em>")
        else:
            where = address(target)
            said = _inline(words, address)
            html.append(f'<a class="ms-link" href="{escape(where)}">{said}</a>' if where else said)
    return "".join(html) + escape(text[at:])
