// Keeps a page fresh: on news it fetches the page again and swaps the content, without losing the reader's place.
"use strict";
(() => {
  const own = document.currentScript;
  const live = document.getElementById("live");
  const news = document.getElementById("news");
  const SOON_MS = 300, REST_MS = 2000, OLD_MS = 30000;
  let last = Date.now(), planned = 0, busy = false, missed = false;

  const say = (state, text) => {
    live.hidden = false;
    live.className = "live " + state;
    live.textContent = text;
  };

  // Where the focus is, in words that are true of the new content too.
  const place = (main) => {
    const focused = document.activeElement;
    if (!focused || !main.contains(focused)) return null;
    const same = (root) => [...root.querySelectorAll("a[href], summary, button, [tabindex]")]
      .filter((element) => element.textContent === focused.textContent && element.getAttribute("href") === focused.getAttribute("href"));
    const index = same(main).indexOf(focused);
    return (fresh) => {
      const found = focused.id ? document.getElementById(focused.id) : same(fresh)[index];
      if (found) found.focus({ preventScroll: true });
    };
  };

  const swap = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const [main, fresh] = [document.getElementById("main"), page.getElementById("main")];
    if (!fresh) return;
    const open = [...main.querySelectorAll("details[id]")].map((element) => [element.id, element.open]);
    const refocus = place(main);
    const headline = main.querySelector("h1")?.textContent;
    main.replaceChildren(...fresh.childNodes);
    for (const [id, was] of open) {
      const element = document.getElementById(id);
      if (element) element.open = was;
    }
    refocus?.(main);
    document.title = page.title;
    for (const selector of ["#made", "link[rel=icon]", ".top nav"]) {
      const [old, now] = [document.querySelector(selector), page.querySelector(selector)];
      if (old && now && old.outerHTML !== now.outerHTML && !old.contains(document.activeElement)) old.replaceWith(now);
    }
    const said = main.querySelector("h1")?.textContent;
    if (said !== headline) news.textContent = said;
  };

  const isReading = () => {
    const selection = getSelection();
    return selection && !selection.isCollapsed && document.getElementById("main").contains(selection.anchorNode);
  };

  // What is being filled in must not be swapped away.
  const isWriting = () => [...document.querySelectorAll("#main form")].some((form) => form.contains(document.activeElement)
    || [...form.querySelectorAll("input, textarea")].some((field) => field.value !== field.defaultValue));

  const refresh = async () => {
    planned = 0;
    if (busy || document.hidden || isReading() || isWriting()) {
      missed = true;
      if (isWriting()) say("held", "waits while you write");
      return;
    }
    busy = true;
    missed = false;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      swap(await answer.text());
      if (live.classList.contains("held")) say("on", "live");
    } catch {
      say("lost", "reconnecting …");
    } finally {
      busy = false;
    }
  };

  const plan = () => {
    if (!planned) planned = setTimeout(refresh, Math.max(SOON_MS, REST_MS - (Date.now() - last)));
  };

  const events = new EventSource(own.dataset.events);
  let greeted = false;
  events.addEventListener("hello", () => {
    say("on", "live");
    // The first greeting comes right after the page itself; a later one means that we were away.
    if (greeted) plan();
    greeted = true;
  });
  events.addEventListener("change", plan);
  events.addEventListener("lagged", plan);
  events.addEventListener("error", () => {
    say("lost", "reconnecting …");
    // A refused stream is not tried again by the browser itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), OLD_MS);
  });
  setInterval(() => { if (missed || Date.now() - last > OLD_MS) plan(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && missed) plan(); });
  // A page that is left ends its stream at once, so that the server need not find out.
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
