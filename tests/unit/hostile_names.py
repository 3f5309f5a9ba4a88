"""Names that would set `ran` in a page, or make a file of that name, were they more than text."""

NAMES = [
    "<script>ran=1</script>",
    "<img src=x onerror=ran=1>",
    "\"'><svg onload=ran=1>",
    "--><svg onload='ran=1'>",
    "]]></text></svg><script>ran=1</script>",
    "</style></title><script>ran=1</script>",
    "' onmouseover=ran=1 x=\"",
    "javascript:ran=1",
    "[x](javascript:ran=1) ![x](ran)",
    "&lt;script&gt;ran=1&#60;/script&#62;",
    "${7*7} {{7*7}} $(touch ran) `touch ran`",
    "../../ran; touch ran | touch ran & %2e",
]
