// Times by the viewer's clock, forms that are sent when they change, and boards that move.
"use strict";

(() => {
  const language = document.documentElement.lang;
  const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

  const times = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      const zone = time.dataset.zone || "UTC";
      let there = time.dateTime;
      try {
        there = new Intl.DateTimeFormat(language, {
          dateStyle: "medium", timeStyle: "long", timeZone: zone,
        }).format(moment);
      } catch { /* a zone that this browser does not know: UTC as it is written */ }
      time.textContent = format.format(moment);
      time.title = `${there} (${zone})`;
    }
  };

  // A board that moved is another element, with its own place to listen.
  const boards = () => {
    for (const board of document.querySelectorAll("[data-events]")) {
      if (board.dataset.heard) continue;
      board.dataset.heard = "yes";
      const source = new EventSource(board.dataset.events);
      source.addEventListener("moved", () => htmx.trigger(board, "moved"));
      board.addEventListener("htmx:beforeCleanupElement", () => source.close());
    }
  };

  // Where there is no room for all of them, the one that one is at is seen.
  const here = () => {
    for (const link of document.querySelectorAll(".side nav [aria-current], .tabs [aria-current]")) {
      link.scrollIntoView({ block: "nearest", inline: "center" });
    }
  };

  const ready = (root) => { times(root); boards(); };

  document.addEventListener("DOMContentLoaded", () => { ready(document); here(); });
  document.addEventListener("htmx:load", (event) => ready(event.detail.elt));
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-at-once]");
    if (form) form.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard.writeText(button.dataset.copy).then(() => {
      button.textContent = button.dataset.done;
    });
    if (event.target.closest("[data-print]")) window.print();
  });
})();
