
"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const cards = Array.from(document.querySelectorAll("article.answer"));
  const plain = (text) => text.toLowerCase().replace(/\s+/g, " ").trim();
  const texts = cards.map((card) => plain(card.textContent));
  const verdicts = cards.map((card) => card.dataset.verdicts.split("|"));
  const search = document.getElementById("filter-text");
  const status = document.getElementById("filter-status");
  const fields = Array.from(form.querySelectorAll("select[data-field]"));
  const models = Array.from(form.querySelectorAll("select[data-model]"));
  const apply = () => {
    const wanted = plain(search.value);
    let shown = 0;
    cards.forEach((card, at) => {
      const fits =
        texts[at].includes(wanted) &&
        fields.every((each) => !each.value || card.dataset[each.dataset.field] === each.value) &&
        models.every((each) => !each.value || verdicts[at][Number(each.dataset.model) - 1] === each.value);
      card.hidden = !fits;
      if (fits) shown += 1;
    });
    status.textContent = shown + " of " + cards.length + " shown";
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply, 0));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
