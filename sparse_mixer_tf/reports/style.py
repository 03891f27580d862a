"""How a page looks."""

from sparse_mixer_tf.reports.colours import DARK, LIGHT, Theme, distinct


def _variables(theme: Theme, right: str, raised: str) -> str:
    return (
        f"--ink: {theme.ink}; --soft: {theme.soft}; --line: {theme.faint}; "
        f"--paper: {theme.paper}; --accent: {theme.validation}; --cold: {theme.cold}; "
        f"--right: {right}; --raised: {raised};"
    )


STYLE = (
    f"""
:root {{ color-scheme: light dark; {_variables(LIGHT, "#1a7f37", "#f6f8fa")} }}
@media (prefers-color-scheme: dark) {{
  :root {{ {_variables(DARK, "#57ab5a", "#1c2026")} }} }}
"""
    + """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 5rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; font-weight: 650; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; font-weight: 650; margin: 0 0 .25rem; }
h3 { font-size: 1rem; font-weight: 650; margin: 1.75rem 0 .25rem; }
a { color: inherit; }
section { margin-top: 2.25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.caption, figcaption, .soft { color: var(--soft); }
.caption { margin: 0 0 1rem; max-width: 46rem; }
figcaption { font-size: .85rem; margin-top: .25rem; }
nav { display: flex; flex-wrap: wrap; gap: .35rem 1rem; margin-top: 1.25rem; font-size: .9rem; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover { color: var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1.25rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: 400; }
th { color: var(--soft); }
.number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll td, .scroll th { overflow-wrap: break-word; }
.scroll td:not(.number) { min-width: 8rem; }
.tiles { display: grid; gap: .75rem; margin: 1.25rem 0;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tile { background: var(--raised); border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: .85rem; line-height: 1.35; color: var(--soft); }
.letters { display: flex; flex-wrap: wrap; gap: 3px; margin: .75rem 0 0; }
.letters span { width: 1.55rem; height: 1.55rem; line-height: 1.55rem; text-align: center;
  border-radius: .25rem; font-size: .85rem; background: var(--raised); }
.letters .g { background: var(--accent); color: var(--paper); }
.letters .s { background: var(--cold); color: var(--paper); }
.letters .gap { background: none; width: .5rem; }
figure { margin: 0; min-width: 0; }
img { display: block; width: 100%; height: auto; }
.charts { display: grid; gap: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.charts figure { max-width: 34rem; }
blockquote { margin: 1.5rem 0 .5rem; padding-left: .9rem; border-left: 2px solid var(--line); }
.right { color: var(--right); font-weight: 600; }
.bar { display: inline-block; width: 7rem; height: .6rem; margin-right: .6rem;
  background: var(--raised); border-radius: .2rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
.tabs { display: flex; flex-wrap: wrap; gap: .4rem; }
.tabs > input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.tabs > label { order: 0; padding: .2rem .7rem; border: 1px solid var(--line);
  border-radius: 1rem; font-size: .9rem; cursor: pointer; color: var(--soft); }
.tabs > input:checked + label { border-color: var(--accent); color: var(--accent); }
.tabs > input:focus-visible + label { outline: 2px solid var(--cold); outline-offset: 1px; }
.tabs > .panel { order: 1; width: 100%; display: none; min-width: 0; }
.tabs > input:checked + label + .panel { display: block; }
details > summary { cursor: pointer; color: var(--soft); }
.coloured { line-height: 2; white-space: pre-wrap; max-width: 52rem; }
.coloured > span { border-radius: .2rem; padding: .1rem 0; }
.coloured .none { text-decoration: underline dotted var(--soft); text-underline-offset: .25em; }
.coloured sup, .chip { font-size: .65rem; font-variant-numeric: tabular-nums; }
.coloured sup { line-height: 0; padding: 0 .1rem; opacity: .8; }
.chip { display: inline-block; min-width: 1.6rem; padding: .1rem .3rem; border-radius: .25rem;
  text-align: center; font-size: .8rem; color: var(--ink); }
.expert { display: grid; grid-template-columns: 2.4rem 13rem 1fr; gap: .25rem .5rem;
  padding: .4rem 0; border-bottom: 1px solid var(--line); align-items: baseline; }
@media (max-width: 44rem) {
  .expert { grid-template-columns: 2.4rem 1fr; }
  .expert .words { grid-column: 1 / -1; } }
.expert > div { white-space: nowrap; }
.expert > .words { white-space: normal; min-width: 0; }
.samples { display: grid; gap: .5rem 2.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.words span { display: inline-block; max-width: 100%; margin: 0 .9rem .1rem 0; }
.words small { color: var(--soft); white-space: nowrap; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem;
  margin-right: .4rem; vertical-align: -.05rem; }
"""
)


def expert_colours(count: int) -> str:
    """CSS of the classes `x0`, `x1`, …, which colour what an expert takes."""
    return series_colours("x", count, LIGHT.tints, DARK.tints)


def series_colours(prefix: str, count: int, light: tuple, dark: tuple) -> str:
    """CSS of backgrounds that tell `count` things apart in both colour schemes."""

    def rules(levels: tuple) -> str:
        colours = distinct(count, levels)
        return "".join(f".{prefix}{i} {{ background: {c}; }}\n" for i, c in enumerate(colours))

    return f"{rules(light)}@media (prefers-color-scheme: dark) {{\n{rules(dark)}}}\n"
