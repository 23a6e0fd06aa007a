// Brings the page up to date in place: what the server would show is fetched and put where the old is.
"use strict";
const EVERY_MS = 5000;
let seen = new Date();

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const events = document.querySelector(".events");
    const scrolled = events ? events.scrollTop : 0;
    document.title = page.title;
    document.getElementById("page").replaceWith(page.getElementById("page"));
    const shown = document.querySelector(".events");
    if (shown) shown.scrollTop = scrolled;
    seen = new Date();
  } catch (error) {
    const stale = document.getElementById("stale");
    stale.textContent = "· no answer since " + seen.toLocaleTimeString();
    stale.hidden = false;
    const state = document.getElementById("state");
    state.textContent = "no answer";
    state.className = "state bad";
  }
}

setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
