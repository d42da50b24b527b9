"""A report in a browser, as the tests use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autotuner.report.browser import Browser

HOSTILE = "</script><img src=x onerror=hacked=1><script>hacked=1</script><a href=javascript:1>"

SAID = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@dataclass(frozen=True)
class Shown:
    """A report in a browser."""

    browser: Browser

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, once its charts have followed."""
        return self.browser.evaluate(expression)

    def choose(self, control: str, option: str) -> None:
        """Pick an option by its text, as a user does."""
        self.ask(
            f"""(() => {{
                const select = document.getElementById({json.dumps(control)});
                const option = [...select.options].find((o) => o.text === {json.dumps(option)});
                select.value = option.value;
                select.dispatchEvent(new Event("change"));
            }})()"""
        )

    def press(self, key: str, *, code: int, text: str = "") -> None:
        """One key, down and up."""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.browser.call("Input.dispatchKeyEvent", {"type": "keyDown", **event})
        self.browser.call("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def draw_all(self) -> None:
        self.ask("report.drawAll().then(() => true)")

    @property
    def complaints(self) -> list[Mapping[str, object]]:
        """What the page has written to the console, refused or thrown."""
        return [event for event in self.browser.events if event["method"] in SAID]
