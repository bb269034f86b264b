(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const track = byId("track"), cursor = byId("cursor"), scrub = byId("scrub"), log = byId("log");
  const lines = [...log.children], last = data.said.length - 1;
  const pinned = [...new Set(data.pins.map((pin) => pin.at).filter((at) => at !== null))].sort((a, b) => a - b);
  pinned.forEach((at) => lines[at]?.classList.add("broken"));
  let now = -1;

  function rows(list, entries) {
    list.replaceChildren(...entries.flatMap(([name, value, mark]) => {
      const term = document.createElement("dt"), detail = document.createElement("dd");
      term.textContent = name;
      detail.textContent = value;
      if (mark) detail.className = mark;
      return [term, detail];
    }));
  }
  function show(at, { follow = true } = {}) {
    at = Math.max(0, Math.min(last, at));
    if (at === now || last < 0) return;
    lines[now]?.removeAttribute("aria-current");
    now = at;
    cursor.setAttribute("x", at * data.step);
    scrub.value = at;
    scrub.setAttribute("aria-valuetext", `${at + data.first}: ${data.said[at]}`);
    const broken = data.pins.filter((pin) => pin.at === at);
    byId("position").textContent = `${at + data.first} of ${data.first + last}`;
    byId("said").textContent = data.said[at];
    const moment = document.querySelector(".moment");
    moment.classList.toggle("broken", broken.length > 0);
    moment.querySelector(".broke")?.remove();
    if (broken.length) {
      const note = document.createElement("p");
      note.className = "broke";
      note.textContent = `breaks ${broken.map((pin) => pin.rule).join(", ")}`;
      moment.append(note);
    }
    const entries = data.states[at] ? [["flow", data.states[at], at && data.states[at] !== data.states[at - 1] ? "changed" : ""]] : [];
    for (const stream of data.streams) {
      const changed = at > 0 && (stream.depth[at] !== stream.depth[at - 1] || stream.active[at] !== stream.active[at - 1]);
      const pressure = stream.active[at] ? ", pressure on" : "";
      const credits = stream.credits[at] === null ? "" : `, credits ${stream.credits[at]}`;
      entries.push([stream.name, `${stream.depth[at]} of ${stream.capacity}${credits}${pressure}`, changed ? "changed" : stream.active[at] ? "on" : ""]);
    }
    rows(byId("situation"), entries.length ? entries : [["nothing", "is told of streams or states"]]);
    const held = data.holdings.filter(([start, end]) => start <= at && at < end);
    rows(byId("buffers"), held.length ? held.map(([start, , buffer, owner]) => [buffer, owner, start === at ? "changed" : ""]) : [["no buffer", "is alive"]]);
    lines[at].setAttribute("aria-current", "step");
    log.scrollTop = lines[at].offsetTop - log.clientHeight / 2;
    if (follow) {
      const left = at * data.step;
      if (left < track.scrollLeft + 2 * data.step || left > track.scrollLeft + track.clientWidth - 3 * data.step) {
        track.scrollLeft = left - track.clientWidth / 2;
      }
    }
  }
  function violation(step) {
    const next = step > 0 ? pinned.find((at) => at > now) ?? pinned[0] : pinned.findLast((at) => at < now) ?? pinned.at(-1);
    if (next !== undefined) show(next);
  }

  scrub.addEventListener("input", () => show(Number(scrub.value)));
  byId("first").addEventListener("click", () => show(0));
  byId("back").addEventListener("click", () => show(now - 1));
  byId("forward").addEventListener("click", () => show(now + 1));
  byId("last").addEventListener("click", () => show(last));
  byId("next")?.addEventListener("click", () => violation(1));
  track.addEventListener("click", (event) => {
    const box = track.firstElementChild.getBoundingClientRect();
    show(Math.floor((event.clientX - box.left) / data.step), { follow: false });
  });
  log.addEventListener("click", (event) => {
    const line = event.target.closest("li");
    if (line) show(Number(line.dataset.at));
  });
  document.querySelectorAll(".goto").forEach((button) => button.addEventListener("click", () => {
    show(Number(button.dataset.at));
    byId("picture").scrollIntoView();
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target === scrub || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const far = event.shiftKey ? 10 : 1;
    const act = {
      ArrowRight: () => show(now + far), ArrowLeft: () => show(now - far), Home: () => show(0), End: () => show(last),
      n: () => violation(1), p: () => violation(-1),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  show(data.start);
})();
