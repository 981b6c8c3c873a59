"use strict";
// Sorting, filtering and copying; the page is complete without it.
// Sort order and filter are kept in the address, so that a view can be shared: #runs.sort=-val&runs.filter=tau%3D0.9
{
  const view = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  const remember = (name, value) => {
    const state = view();
    if (value) state.set(name, value);
    else state.delete(name);
    const text = state.toString();
    try { history.replaceState(null, "", text ? "#" + text : location.pathname); } catch { /* not allowed for file: in some browsers */ }
  };

  const read = (cell, isNumber) => {
    const text = cell.textContent.trim();
    if (!isNumber) return text;
    const value = Number.parseFloat(text);
    return Number.isNaN(value) ? "" : value;
  };

  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other
      : String(one).localeCompare(String(other), "en", { numeric: true });

  const OPERATORS = {
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
  };

  const FIRST = 200;  // rows that are laid out at once: more would make every click slow

  class Table {
    constructor(table) {
      this.id = table.id;
      this.most = FIRST;
      table.classList.add("ready");
      this.heads = [...table.tHead.rows[0].cells];
      this.body = table.tBodies[0];
      this.rows = [...this.body.rows].map((row, place) => ({
        row, place,
        text: row.textContent.toLowerCase(),
        values: [...row.cells].map((cell, number) => read(cell, this.heads[number].dataset.kind === "number")),
      }));
      this.heads.forEach((head, number) => this.addSortButton(head, number));
      const form = document.querySelector(`form[data-for="${this.id}"]`);
      this.input = form.querySelector("input");
      this.output = form.querySelector("output");
      this.all = form.querySelector("button");
      this.all.addEventListener("click", () => { this.most = Infinity; this.layout(); });
      form.addEventListener("submit", (event) => event.preventDefault());
      this.input.addEventListener("input", () => { remember(this.id + ".filter", this.input.value); this.filter(); });
      form.hidden = false;
    }

    addSortButton(head, number) {
      const button = document.createElement("button");
      button.type = "button";
      head.dataset.title = head.textContent;  // printed at the top of every page, where a button is not
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const down = now ? now === "ascending" : head.dataset.kind === "number";
        remember(this.id + ".sort", (down ? "-" : "") + head.dataset.key);
        this.sort(number, down);
      });
      head.append(button);
    }

    sort(number, down) {
      const value = (each) => each.values[number];
      this.rows.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === "" || b === "") return (a === "") - (b === "") || one.place - other.place;  // missing values come last
        return (down ? compare(b, a) : compare(a, b)) || one.place - other.place;
      });
      this.heads.forEach((head) => head.removeAttribute("aria-sort"));
      this.heads[number].setAttribute("aria-sort", down ? "descending" : "ascending");
      this.body.append(...this.rows.map((each) => each.row));
      this.layout();
    }

    column(name) {
      const keys = this.heads.map((head) => head.dataset.key.toLowerCase());
      const whole = keys.indexOf(name);
      return whole >= 0 ? whole : keys.findIndex((key) => key.endsWith("." + name));
    }

    test(word) {
      const match = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/.exec(word);
      const number = match ? this.column(match[1]) : -1;
      if (number < 0) return (each) => each.text.includes(word);
      const holds = OPERATORS[match[2]], size = Number(match[3]);
      return (each) => {
        const value = each.values[number];
        if (value === "") return match[2] === "!=";
        if (typeof value === "number" && !Number.isNaN(size)) return holds(value, size);
        return holds(String(value).toLowerCase(), match[3]);
      };
    }

    filter() {
      const tests = this.input.value.toLowerCase().split(/\s+/).filter(Boolean).map((word) => this.test(word));
      for (const each of this.rows) each.row.hidden = !tests.every((test) => test(each));
      this.layout();
    }

    // Show the first of the rows that pass the filter; print all of them.
    layout() {
      let count = 0;
      for (const { row } of this.rows) {
        count += !row.hidden;
        row.classList.toggle("later", !row.hidden && count > this.most);
      }
      const some = count > this.most ? `, the first ${this.most} shown` : "";
      this.output.textContent = `${count} of ${this.rows.length}${some}`;
      this.all.hidden = !some;
    }

    show() {
      const state = view(), sort = state.get(this.id + ".sort");
      if (sort) {
        const number = this.column(sort.replace(/^-/, "").toLowerCase());
        if (number >= 0) this.sort(number, sort.startsWith("-"));
      }
      this.input.value = state.get(this.id + ".filter") ?? "";
      this.filter();
    }
  }

  const tables = [...document.querySelectorAll("table.sortable")].map((table) => new Table(table));
  const show = () => tables.forEach((table) => table.show());
  show();
  addEventListener("hashchange", () => { if (location.hash.includes("=")) show(); });

  for (const code of document.querySelectorAll("code.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.setAttribute("aria-label", "copy: " + code.textContent);
    code.before(button);
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const code = button.nextElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
