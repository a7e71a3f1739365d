"""A demo corpus from text that every Python installation contains."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evop_deap.base.kept_answers import KeptAnswer, KeptAnswers, code_of
from evop_deap.base.user_folders import CORPORA, cache_folder
from evop_deap.base.versions import version_of
from evop_deap.text.documents import Document

_LONGEST = 6_000
_SHORTEST_DOCSTRINGS = 600
_SHORTEST_SOURCE = 800
_FUNCTIONS_A_MODULE = 4
_LICENCES_A_PACKAGE = 4

# Disjoint from _SOURCE_MODULES: a function's source repeats its docstring, and a split could hold
# out one of the two.
_DOCSTRING_MODULES = (
    "abc", "argparse", "asyncio/events", "asyncio/locks", "asyncio/streams", "base64",
    "calendar", "cmd", "code", "codecs", "concurrent/futures/_base", "contextlib", "csv",
    "datetime", "_pydatetime", "decimal", "_pydecimal", "difflib", "doctest", "email/message",
    "email/policy", "enum", "fileinput", "functools", "getopt", "gettext", "gzip", "http/client",
    "http/cookies", "http/server", "imaplib", "importlib/abc", "inspect", "_pyio", "json/__init__",
    "logging/__init__", "logging/handlers", "mailbox", "math", "multiprocessing/managers",
    "numbers", "optparse", "os", "pathlib", "pathlib/__init__", "pdb", "pickletools",
    "poplib", "pprint", "random", "sched", "shlex", "shutil", "smtplib", "socket", "socketserver",
    "ssl", "string", "string/__init__", "subprocess", "tarfile", "tempfile", "threading", "timeit",
    "tkinter/__init__", "trace", "turtle", "typing", "unittest/case", "unittest/mock",
    "urllib/request", "uuid", "venv/__init__", "weakref", "webbrowser", "xml/dom/minidom",
    "xmlrpc/client", "zipfile", "zipfile/__init__",
)  # fmt: skip
_SOURCE_MODULES = (
    "ast", "asyncio/base_events", "bdb", "bisect", "bz2", "cProfile", "colorsys", "compileall",
    "configparser", "copy", "dataclasses", "dis", "email/_header_value_parser", "filecmp",
    "fnmatch", "fractions", "ftplib", "genericpath", "glob", "graphlib", "hashlib", "heapq",
    "hmac", "html/parser", "ipaddress", "json/decoder", "json/encoder", "linecache", "locale",
    "mimetypes", "modulefinder", "netrc", "ntpath", "operator", "pickle", "pkgutil",
    "platform", "plistlib", "posixpath", "profile", "pyclbr", "queue", "quopri", "reprlib",
    "selectors", "shelve", "site", "statistics", "symtable", "tabnanny", "textwrap", "token",
    "tokenize", "traceback", "urllib/parse", "warnings", "wave", "xml/etree/ElementTree",
    "xml/sax/saxutils", "zipapp",
)  # fmt: skip
_PACKAGES = (
    "accelerate", "datasets", "deap", "gguf", "huggingface_hub", "numpy", "optuna", "pyarrow",
    "PyYAML", "safetensors", "tokenizers", "torch", "tqdm", "transformers",
)  # fmt: skip

_LICENCE_FILE = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)


def demo_documents() -> list[Document]:
    """Return prose and code of four kinds, to try evop_deap without a corpus.

    The kinds are the language reference, docstrings and source of the standard library, and the
    licences of Python and of the packages that evop_deap depends on. Ids begin with the kind:
    `"reference/for"`, `"docstring/argparse"`, `"source/heapq.merge"`, `"licence/numpy"`. The
    documents differ between versions of Python, so figures measured on them are not comparable
    between machines. Files that an installation lacks are skipped.

    They are kept in the user's cache, by the sources and the versions that they come from.

    Returns:
        A few hundred documents of at most about 6,000 characters, kind by kind.
    """
    kept, sources = KeptAnswers(cache_folder() / CORPORA), _sources()
    known = kept.recall(sources)
    if known is not None:
        return [Document(name, text) for name, text in known.value]
    found = [*_reference(), *_docstrings(), *_source(), *_licences()]
    kept.keep(sources, KeptAnswer([[document.id, document.text] for document in found]))
    return found


def _sources() -> dict[str, Any]:
    """Return what the documents depend on, as plain JSON."""
    digest = hashlib.sha256(_text_of(_library() / "LICENSE.txt").encode())
    for name in (*_DOCSTRING_MODULES, *_SOURCE_MODULES):
        text = _text_of(_library() / f"{name}.py")
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    packages = {package: version_of(package) for package in _PACKAGES}
    code = code_of("text/demo_corpus.py")
    return {"python": sys.version, "sources": digest.hexdigest(), "code": code, **packages}


def _reference() -> Iterator[Document]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return
    for topic in sorted(topics):
        yield Document(f"reference/{topic}", shortened(topics[topic]))


def _docstrings() -> Iterator[Document]:
    for module, tree, _ in _modules(_DOCSTRING_MODULES):
        parts = [_described(node, module) for node in [tree, *_public_definitions(tree)]]
        text = "\n\n\n".join(part for part in parts if part)
        if len(text) >= _SHORTEST_DOCSTRINGS:
            yield Document(f"docstring/{module}", shortened(text))


def _source() -> Iterator[Document]:
    for module, tree, lines in _modules(_SOURCE_MODULES):
        found = 0
        for node in tree.body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if _SHORTEST_SOURCE <= len(text) <= _LONGEST and found < _FUNCTIONS_A_MODULE:
                found += 1
                yield Document(f"source/{module}.{node.name}", text)


def _licences() -> Iterator[Document]:
    seen: set[str] = set()
    for name, path in _licence_files():
        text = _text_of(path)
        lines = {line.strip() for line in text.splitlines() if len(line.strip()) > 20}
        # Licences repeat each other up to the name of the copyright holder.
        if len(lines - seen) > len(lines) / 2:
            seen |= lines
            yield Document(f"licence/{name}", shortened(text))


def _licence_files() -> Iterator[tuple[str, Path]]:
    yield "python", _library() / "LICENSE.txt"
    for package in _PACKAGES:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found = sorted(
            (file for file in files if _LICENCE_FILE.search(file.name) and file.suffix != ".py"),
            key=lambda file: (len(file.parts), file.as_posix()),
        )
        for number, file in enumerate(found[:_LICENCES_A_PACKAGE]):
            yield package if number == 0 else f"{package}-{number}", Path(str(file.locate()))


def _modules(names: tuple[str, ...]) -> Iterator[tuple[str, ast.Module, list[str]]]:
    """Yield name, syntax tree and lines of the modules whose source is installed."""
    for name in names:
        text = _text_of(_library() / f"{name}.py")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        if tree.body:
            module = name.removesuffix("/__init__").replace("/", ".")
            yield module, tree, text.splitlines()


def _public_definitions(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield public classes, their public methods, and public functions in source order."""
    for node in tree.body:
        if _is_public(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from filter(_is_public, node.body)


def _is_public(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    return not node.name.startswith("_")


def _described(node: ast.AST, module: str) -> str:
    """Return the node's docstring under a heading with its name; "" if it has none."""
    if not isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return ""
    text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
    heading = module if isinstance(node, ast.Module) else node.name
    return f"{heading}\n\n{text}" if text else ""


def shortened(text: str) -> str:
    """Return the text, cut at a paragraph's end to the longest length allowed."""
    if len(text) <= _LONGEST:
        return text
    end = text.rfind("\n\n", _LONGEST // 2, _LONGEST)
    return text[: end if end > 0 else _LONGEST].rstrip()


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _text_of(path: Path) -> str:
    """Return the file's text; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
