/** The style sheet of `report.html`: system fonts, two themes, one column on narrow screens. */
import { repaint } from "./report-charts.js";

export function reportStyle(): string {
  return `
:root{--page:#f6f7f9;--sheet:#fff;--ink:#1b222b;--soft:#5a6472;--line:#e0e5ea;--first:#0072b2;--bad:#b42318;color-scheme:light dark}
@media (prefers-color-scheme:dark){
:root{--page:#12161b;--sheet:#1a2027;--ink:#e8ecf1;--soft:#a4afbc;--line:#2d353e;--first:#5ab4f0;--bad:#ff8a7a}
${repaint("figure svg")}
}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}
p{margin:0}
h1{font-size:1.7rem;line-height:1.2;margin:2px 0 20px;overflow-wrap:anywhere;font-weight:650}
h2{font-size:1.15rem;margin:44px 0 14px;font-weight:650}
h3{font-size:1rem;margin:0 0 4px;font-weight:600}
.eyebrow,.when,.name{color:var(--soft);font-size:.85rem}
.tiles{display:grid;grid-template-columns:repeat(3,1fr);gap:12px}
.tile,figure,.card,article,.versions{background:var(--sheet);border:1px solid var(--line);border-radius:10px}
.tile{padding:12px 14px}
.value{font-size:1.5rem;font-weight:600;line-height:1.35;font-variant-numeric:tabular-nums;white-space:nowrap}
.arrow{color:var(--soft);font-weight:400}
.note{color:var(--soft);font-size:.82rem;line-height:1.35}
.ledger{margin-top:16px;color:var(--soft)}
.ledger.bad{color:var(--bad);font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:14px}
figure{margin:0;padding:14px 14px 12px}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--soft);font-size:.85rem;line-height:1.4;margin-top:4px}
article{padding:14px;margin-bottom:14px}
.query{font-weight:600;margin-bottom:10px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:12px}
.card{background:var(--page);padding:12px 14px}
.response{font-family:Georgia,"Times New Roman",serif;font-size:1.15rem;line-height:1.4;margin:2px 0 8px;overflow-wrap:anywhere}
.facts{font-size:.9rem;font-variant-numeric:tabular-nums}
dl{margin:8px 0 0;font-size:.85rem;line-height:1.4;color:var(--soft);display:grid;grid-template-columns:auto 1fr;gap:2px 10px}
dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 12px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}
.versions{display:inline-block;padding:6px 4px}
.versions th,.versions td{text-align:left;border:0;padding:3px 12px}
details{margin-top:14px}
summary{cursor:pointer;padding:4px 0}
pre{background:var(--sheet);border:1px solid var(--line);border-radius:10px;padding:14px;overflow-x:auto;font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
:focus-visible{outline:2px solid var(--first);outline-offset:2px}
@media (max-width:620px){.tiles{grid-template-columns:1fr 1fr}}
@media (max-width:480px){main{padding:20px 12px 40px}h1{font-size:1.35rem}.value{font-size:1.2rem}figure,article{padding:10px}}
@media print{body{background:#fff}figure,article,.tile{break-inside:avoid}}
`;
}
