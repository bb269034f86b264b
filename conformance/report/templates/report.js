(() => {
  const rules = [...document.querySelectorAll(".rule")];
  const squares = new Map([...document.querySelectorAll("a.sq")].map((square) => [square.dataset.rule, square]));
  const text = document.getElementById("text"), area = document.getElementById("area"), level = document.getElementById("level");
  const chips = [...document.querySelectorAll(".chip")];
  const words = new Map(rules.map((rule) => [rule, rule.textContent.toLowerCase()]));

  function filter() {
    const wanted = text.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.outcome));
    let shown = 0;
    for (const rule of rules) {
      const fits = (!area.value || rule.dataset.area === area.value) && (!level.value || rule.dataset.level === level.value) &&
        (!outcomes.size || outcomes.has(rule.dataset.outcome)) && wanted.every((word) => words.get(rule).includes(word));
      rule.hidden = !fits;
      squares.get(rule.id)?.classList.toggle("dim", !fits);
      shown += fits;
    }
    const all = shown === rules.length;
    document.getElementById("count").textContent = all ? `${shown} rules` : `${shown} of ${rules.length} rules`;
    document.getElementById("none").hidden = shown > 0;
    document.getElementById("reset").hidden = !(wanted.length || area.value || level.value || outcomes.size);
    rove(document.getElementById("list"), rules.map((rule) => rule.firstElementChild));
  }
  function reset() {
    text.value = area.value = level.value = "";
    chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    filter();
  }
  // Many equal things are one stop for the Tab key; arrows, Home and End move among those that can be seen.
  const stops = new Map();
  function rove(room, items) {
    const seen = items.filter((item) => !item.closest("[hidden]"));
    const first = seen.includes(stops.get(room)?.current) ? stops.get(room).current : seen[0];
    items.forEach((item) => { item.tabIndex = item === first ? 0 : -1; });
    const known = stops.has(room);
    stops.set(room, { seen, current: first });
    if (known) return;
    room.addEventListener("focusin", (event) => {
      const state = stops.get(room);
      if (!state.seen.includes(event.target)) return;
      if (state.current) state.current.tabIndex = -1;
      state.current = event.target;
      event.target.tabIndex = 0;
    });
    room.addEventListener("keydown", (event) => {
      const { seen } = stops.get(room);
      const at = seen.indexOf(event.target);
      if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: seen.length - 1 }[event.key];
      if (to === undefined || !seen[to]) return;
      event.preventDefault();
      seen[to].focus();
    });
  }
  function open() {
    const rule = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!rule?.matches(".rule")) return;
    if (rule.hidden) reset();
    rule.open = true;
    rule.scrollIntoView({ block: "center" });
    rule.firstElementChild.focus({ preventScroll: true });
  }

  text.addEventListener("input", filter);
  area.addEventListener("change", filter);
  level.addEventListener("change", filter);
  chips.forEach((chip) => chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    filter();
  }));
  document.getElementById("reset").addEventListener("click", () => { reset(); text.focus(); });
  document.querySelector("[data-reset]").addEventListener("click", () => { reset(); text.focus(); });
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); text.focus(); }
    if (event.key === "Escape" && event.target === text) { text.value = ""; filter(); }
  });
  document.querySelector(".heat").addEventListener("click", (event) => {
    const square = event.target.closest("a.sq");
    if (!square || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", square.getAttribute("href"));
    open();
  });
  addEventListener("hashchange", open);
  filter();
  rove(document.querySelector(".heat"), [...squares.values()]);
  open();
})();
