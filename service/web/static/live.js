// Keeps the dashboard current: fetches the page's <main> and swaps it. Without script the page is complete but still.
"use strict";
(() => {
  const every = location.search.includes("lanes=all") ? 15000 : 1500, patience = 8000;
  const pulse = document.getElementById("pulse");
  const announce = document.getElementById("announce");
  const words = document.body.dataset;
  const asked = new URLSearchParams(location.search);
  asked.set("fragment", "1");
  asked.set("lang", words.lang);
  const address = location.origin + "/?" + asked;  // an address with a password in it may not be fetched
  let timer = 0, said = "", looking = false;

  const state = (live) => {
    pulse.hidden = false;
    pulse.textContent = live ? words.live : words.stale;
    pulse.classList.toggle("off", !live);
  };

  // never take away what the reader is using: selected text, an opened detail, the focus, the scroll of a table
  const busy = (main) => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  const swap = (html) => {
    const old = document.querySelector("main");
    if (!old || busy(old)) return;
    const made = new DOMParser().parseFromString(html, "text/html").querySelector("main");
    if (!made) return;
    for (const open of old.querySelectorAll("details[open]")) {
      const same = open.id && made.querySelector("#" + CSS.escape(open.id));
      if (same) same.open = true;
    }
    const scrolls = [...old.querySelectorAll(".scroll")].map((e) => [e.scrollLeft, e.scrollTop]);
    const focused = [...old.querySelectorAll("summary, .scroll")].indexOf(document.activeElement);
    old.replaceWith(made);
    made.querySelectorAll(".scroll").forEach((e, i) => { [e.scrollLeft, e.scrollTop] = scrolls[i] || [0, 0]; });
    if (focused >= 0) made.querySelectorAll("summary, .scroll")[focused]?.focus({ preventScroll: true });
    const verdict = made.querySelector("#verdict")?.textContent ?? "";
    if (said && verdict !== said) announce.textContent = verdict;
    said = verdict;
  };

  const look = async () => {
    if (looking) return;
    clearTimeout(timer);
    looking = true;
    if (!document.hidden) {
      try {
        const answer = await fetch(address, { signal: AbortSignal.timeout(patience), cache: "no-store" });
        if (!answer.ok) throw new Error(String(answer.status));
        swap(await answer.text());
        state(true);
      } catch {
        state(false);
      }
    }
    looking = false;
    timer = setTimeout(look, every);
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) look();
  });
  look();
})();
