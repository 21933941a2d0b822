"""PDF and DOCX, within bounds: neither may be encrypted, endless, or larger inside than it looks."""

import io
import zipfile
from typing import Any

from core.errors import InputError
from verticals.support.knowledge.documents import Parsed, Writer
from verticals.support.knowledge.markdown import table_row

PDF_PAGES = 2_000
UNPACKED_BYTES = 100 * 2**20
RATIO = 200  # text packs about 10:1; what unpacks to 200 times its size was made to
PARTS = 5_000


def parse_pdf(data: bytes) -> Parsed:
    """Each page is a section. Raises InputError for a PDF that is encrypted, damaged or holds only images."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError("the PDF is encrypted; save it without a password")
        if len(reader.pages) > PDF_PAGES:
            raise InputError(f"the PDF has {len(reader.pages)} pages; at most {PDF_PAGES} are read")
        writer = Writer()
        for number, page in enumerate(reader.pages, 1):
            writer.heading(f"Page {number}" if len(reader.pages) > 1 else "")
            for paragraph in _paragraphs(page.extract_text() or ""):
                writer.block(paragraph)
        title = str(reader.metadata.get("/Title") or "") if reader.metadata else ""
    except InputError:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        raise InputError(f"the PDF cannot be read ({type(error).__name__}: {error})") from error
    if not writer.blocks:
        raise InputError("the PDF holds no text, only images; run it through text recognition first")
    return writer.done(title=title)


def _paragraphs(text: str) -> list[str]:
    """Lines of a page joined where a sentence runs on; a page breaks its lines by width, not by meaning."""
    paragraphs: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if not line:
            paragraphs.append("")
        elif paragraphs and paragraphs[-1] and not paragraphs[-1].endswith((".", "!", "?", ":", "。", "！", "？")):
            joined = paragraphs[-1][:-1] if paragraphs[-1].endswith("-") else paragraphs[-1] + " "
            paragraphs[-1] = joined + line
        else:
            paragraphs.append(line)
    return [paragraph for paragraph in paragraphs if paragraph]


def parse_docx(data: bytes) -> Parsed:
    """Heading styles make sections; tables are lines, one a row. Hidden text goes. Raises InputError for a bomb."""
    check_zip(data)
    import docx
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError

    try:
        document = docx.Document(io.BytesIO(data))
        writer = Writer()
        for block in document.iter_inner_content():
            if hasattr(block, "rows"):
                _table(writer, block)
            else:
                text = "".join(run.text for run in block.runs if not _hidden(run))
                style = (block.style.name or "") if block.style is not None else ""
                writer.heading(text) if style.startswith(("Heading", "Title")) else writer.block(text)
        title = document.core_properties.title or writer.first_heading
    except (OpcError, LxmlError, KeyError, ValueError, AttributeError, zipfile.BadZipFile, OSError) as error:
        raise InputError(f"the DOCX cannot be read ({type(error).__name__}: {error})") from error
    return writer.done(title=title)


def _hidden(run: Any) -> bool:
    return bool(run.font.hidden) or (run.font.size is not None and run.font.size.pt < 2)


def _table(writer: Writer, table: Any) -> None:
    rows = [[cell.text for cell in row.cells] for row in table.rows]
    for row in rows[1:] or rows:
        writer.block(table_row(rows[0], row) if len(rows) > 1 else ". ".join(row))


def check_zip(data: bytes) -> None:
    """Unpack into nothing, counting: what the directory says about sizes may be a lie."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            parts = packed.infolist()
            if len(parts) > PARTS:
                raise InputError(f"the file holds {len(parts)} parts; at most {PARTS} are read")
            if any(part.flag_bits & 0x1 for part in parts):
                raise InputError("the file is encrypted; save it without a password")
            limit = min(UNPACKED_BYTES, max(RATIO * len(data), 2**20))
            total = 0
            for part in parts:
                with packed.open(part) as file:
                    while block := file.read(1 << 20):
                        total += len(block)
                        if total > limit:
                            raise InputError(f"unpacked it is larger than {limit:,} bytes: a zip bomb, or not a text")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise InputError(f"it is not a whole DOCX file ({error})") from error
