/** Larger files are shown plain: a browser has better things to do than a hundred thousand spans. */
const MAX_LENGTH = 200_000;

const KEYWORDS = new Set(
  'abstract assembly break case catch constant constructor continue contract default delete do else emit enum error event external fallback for from function if immutable import indexed interface internal is let library mapping memory modifier new override payable pragma private public pure receive return returns revert storage struct switch this throw try type unchecked using view virtual while'.split(
    ' ',
  ),
);
const TYPE = /^(address|bool|string|bytes\d*|u?int\d*|u?fixed\w*|true|false|wei|gwei|ether)$/;
const TOKEN =
  /(\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(\b\d[\w.]*)|([A-Za-z_$][\w$]*)/g;

/** Solidity and Yul with quiet colours: text nodes and spans, never markup from the file. */
export function highlight(path, text) {
  if (text.length > MAX_LENGTH || !/\.(sol|yul)$/i.test(path)) return [text];
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const kind = kindOf(match);
    if (kind === null) continue;
    nodes.push(text.slice(end, match.index), span(kind, match[0]));
    end = match.index + match[0].length;
  }
  nodes.push(text.slice(end));
  return nodes;
}

function kindOf([, comment, string, number, word]) {
  if (comment !== undefined) return 'comment';
  if (string !== undefined) return 'string';
  if (number !== undefined) return 'number';
  if (KEYWORDS.has(word)) return 'keyword';
  return TYPE.test(word) ? 'type' : null;
}

function span(kind, text) {
  const element = document.createElement('span');
  element.className = `tok-${kind}`;
  element.textContent = text;
  return element;
}
