"""Accessibility of reports by axe-core, in light and dark, at two widths: `accessibility.py AXE.js REPORT ...`."""

import sys
from itertools import product
from pathlib import Path

from browser import Browser, found

RUN = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, impact: v.impact, help:"
RUN += " v.help, nodes: v.nodes.map(n => n.html.slice(0, 160) + ' | ' + n.failureSummary)})))"


def violations(browser, path, axe, width, dark):
    """What axe-core finds on a page, everything unfolded."""
    browser.open(path, width=width, dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.settle()
    browser.evaluate(f"{axe};true")
    return browser.evaluate(RUN)


def main(axe, *reports):
    """Print every violation. Returns the exit code: 1 where there is one."""
    browser, number = Browser(found()), 0
    try:
        for path, (width, dark) in product(reports, ((1200, False), (1200, True), (390, False))):
            for one in violations(browser, path, Path(axe).read_text(), width, dark):
                number += 1
                print(f"{path} ({width} px, {'dark' if dark else 'light'}): {one['impact']}: {one['id']}: {one['help']}")
                for node in one["nodes"][:3]:
                    print(f"    {node}")
    finally:
        browser.close()
    print(f"{number} violations in {len(reports)} reports, each at two widths and in dark")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
