"""Preprocesses the book: links that leave this folder, such as to packaging/Dockerfile, lead to the repository.

Its address is in MATERIA_REPOSITORY, as in https://example.com/materia/blob/main. Without it, such a link is only text.
"""

import json
import os
import posixpath
import re
import sys

if sys.argv[1:2] == ["supports"]:
    sys.exit(0)

context, book = json.load(sys.stdin)
repository = os.environ.get("MATERIA_REPOSITORY", "").rstrip("/")
LINK = re.compile(r"\[([^\]]*)\]\((\.\.?/[^)\s]*)\)")


def inside_or_repository(link, folder):
    text, target = link.groups()
    path, _, section = target.partition("#")
    path = posixpath.normpath(posixpath.join("docs", folder, path))
    if path == "docs" or path.startswith("docs/"):
        return link.group(0)
    if not repository:
        return text
    return f"[{text}]({repository}/{path}{'#' if section else ''}{section})"


def rewrite(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter and chapter.get("path"):
            folder = posixpath.dirname(chapter["path"])
            chapter["content"] = LINK.sub(lambda link: inside_or_repository(link, folder), chapter["content"])
            rewrite(chapter["sub_items"])


rewrite(book.get("items", book.get("sections")))
json.dump(book, sys.stdout)
