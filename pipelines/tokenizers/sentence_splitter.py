"""Documents to sentences."""

import re

# "e.g. This", "Dr. Who" and "J. Smith" do not end a sentence.
_NO_END = r"(?<!\b[A-Z]\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\b(?:Mr|Dr|vs|St)\.)(?<!\bMrs\.)(?<!\bcf\.)"
_SENTENCE_END = re.compile(
    rf"\n+|(?:(?<=[.!?])|(?<=[.!?][\"')\]”’])){_NO_END}\s+(?=[\"'(\[“‘]?[A-Z0-9])"
    # Chinese and Japanese put no space behind a sentence; a closing quote still belongs to it.
    r"|(?:(?<=[。！？｡])|(?<=[。！？｡][」』”’）]))(?![。！？｡」』”’）])"
)


def split(text: str, mode: str = "sentences") -> list[str]:
    """Splits a document into non-blank sentences.

    Args:
        text: a document.
        mode: "sentences" ends them at newlines, at `. ! ?` (with closing quotes) before white
            space and a capital letter or digit, and behind `。 ！ ？`; "lines" at newlines only,
            as the published Sparse Mixer's pipeline does.
    """
    parts = _SENTENCE_END.split(text) if mode == "sentences" else text.split("\n")
    return [part for part in map(str.strip, parts) if part]
