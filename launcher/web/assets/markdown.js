// Markdown of a model, which is not trusted, as HTML: what DOMPurify lets through, and no images or forms, so that nothing is loaded or sent anywhere.
/* global marked, DOMPurify, hljs */

const ALLOWED = {
  ALLOWED_TAGS: ["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "strong", "em", "del", "code", "pre", "blockquote", "a", "table", "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "class", "start"],
  ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
};
// Debian 12's DOMPurify (2.4.1+dfsg-2+deb12u1) asks in sanitize() for the depth of a variable that is another function's, and would throw. What the check is
// for, markup nested too deeply, its loop over all nodes checks as well.
globalThis.shadowNode ??= Object.freeze({ __depth: 0 });

let highlighter = null;

// Half a megabyte, so only when there is code to colour.
function loadHighlighter() {
  highlighter ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "assets/highlight.js";
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
  return highlighter;
}

export function showMarkdown(element, text) {
  element.innerHTML = DOMPurify.sanitize(marked.parse(text, { gfm: true, breaks: true, headerIds: false, mangle: false }), ALLOWED);
  for (const link of element.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
}

/** For an answer that is complete. */
export async function colourCode(element) {
  const blocks = element.querySelectorAll("pre code[class*='language-']");
  if (blocks.length === 0) return;
  await loadHighlighter();
  for (const block of blocks) hljs.highlightBlock(block);
}
