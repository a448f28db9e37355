"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = `launch-review-${data.page}`;
  const choices = ["A", "B", "same", "skip"];
  const at = (id) => document.getElementById(id);
  const state = { index: 0, votes: {}, voter: "" };

  // What was kept by an earlier visit; a browser may refuse to keep anything for a file, and then votes live in the tab.
  const restore = () => {
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(place));
    } catch {
      return;
    }
    if (kept === null || typeof kept !== "object" || typeof kept.votes !== "object" || kept.votes === null) return;
    for (const item of data.items) {
      if (choices.includes(kept.votes[item.id])) state.votes[item.id] = kept.votes[item.id];
    }
    if (typeof kept.voter === "string") state.voter = kept.voter.slice(0, 80);
    const open = data.items.findIndex((item) => !(item.id in state.votes));
    state.index = open < 0 ? data.items.length : open;
  };

  const keep = () => {
    try {
      localStorage.setItem(place, JSON.stringify({ votes: state.votes, voter: state.voter }));
    } catch {
      at("said").textContent = "This browser keeps nothing for this page: save your votes before you close it.";
    }
  };

  const turn = ({ role, text }) => {
    const head = document.createElement("p");
    head.className = "role";
    head.textContent = role;
    const body = document.createElement("pre");
    body.textContent = text;
    return [head, body];
  };

  const show = (moved) => {
    const done = Object.keys(state.votes).length;
    at("progress").max = data.items.length;
    at("progress").value = done;
    at("count").textContent = `${done} of ${data.items.length}`;
    const over = state.index >= data.items.length;
    at("item").hidden = over;
    at("end").hidden = !over;
    if (over) {
      if (moved) at("end-head").focus();
      return;
    }
    const item = data.items[state.index];
    at("number").textContent = `${state.index + 1} of ${data.items.length}`;
    at("prompt").replaceChildren(...item.prompt.flatMap(turn));
    at("wanted").textContent = item.wanted;
    at("reference").hidden = item.wanted === "";
    at("reference").open = false;
    at("a").textContent = item.A;
    at("b").textContent = item.B;
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(state.votes[item.id] === button.dataset.choice));
    }
    at("back").disabled = state.index === 0;
    if (moved) {
      at("number").focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  };

  const choose = (choice) => {
    if (state.index >= data.items.length) return;
    state.votes[data.items[state.index].id] = choice;
    state.index += 1;
    at("said").textContent = "";
    keep();
    show(true);
  };

  const back = () => {
    if (state.index === 0) return;
    state.index -= 1;
    show(true);
  };

  const save = () => {
    const voter = at("voter").value.trim();
    if (voter === "") {
      at("said").textContent = "Please say your name first.";
      at("voter").focus();
      return;
    }
    const votes = { schema: 1, page: data.page, voter, votes: state.votes };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(votes, null, 1)], { type: "application/json" }));
    link.download = `votes-${voter.replace(/[^A-Za-z0-9-]+/g, "-").slice(0, 40)}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    at("said").textContent = `Saved as ${link.download}: ${Object.keys(state.votes).length} votes.`;
  };

  restore();
  at("run").textContent = data.title;
  at("voter").value = state.voter;
  at("voter").addEventListener("input", () => {
    state.voter = at("voter").value;
    keep();
  });
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.addEventListener("click", () => choose(button.dataset.choice));
  }
  at("back").addEventListener("click", back);
  at("again").addEventListener("click", back);
  at("save").addEventListener("click", save);
  document.addEventListener("keydown", (event) => {
    if (event.target === at("voter") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const choice = choices[["1", "2", "3", "4"].indexOf(event.key)];
    if (choice !== undefined) choose(choice);
    else if (event.key === "Backspace") back();
    else return;
    event.preventDefault();
  });
  show(false);
})();
