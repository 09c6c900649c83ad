"""The style of the HTML page: one sheet, inline, light and dark, screen and paper; nothing is fetched."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#1d2126;--soft:#5b626b;--line:#e4e1db;--link:#1f5fa8;
--g1:#a3123a;--g2:#c2410c;--g3:#a16207;--g4:#3f6f4a;--g0:#5b626b;--tint:8%}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1b1f24;--ink:#e8e6e1;--soft:#a0a7b0;--line:#2e343b;
--link:#8ab8f0;--g1:#ff7d95;--g2:#ff9a62;--g3:#e9bd4f;--g4:#8cc79a;--g0:#a0a7b0;--tint:14%}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;
font:17px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
a{color:var(--link);text-underline-offset:.15em}
.tlp{display:flex;gap:.75rem;align-items:center;justify-content:center;padding:.55rem 1rem;background:#000;
color:#d6d6d6;font-size:.85rem}
.tlp b{font:600 .95rem/1 ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace;white-space:nowrap}
.red b{color:#ff2b2b}.amber b,.amber-strict b{color:#ffc000}.green b{color:#33ff00}.clear b{color:#fff}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.5rem 4rem}
article+article{margin-top:4rem;padding-top:3rem;border-top:1px solid var(--line)}
.eyebrow{margin:0 0 .5rem;color:var(--soft);font-size:.9rem}
h1,h2.title{margin:0 0 1.5rem;font-size:clamp(1.6rem,4.2vw,2.3rem);line-height:1.2;font-weight:650;
letter-spacing:-.01em;text-wrap:balance}
h2{margin:0 0 .75rem;font-size:.8rem;font-weight:650;letter-spacing:.08em;text-transform:uppercase;color:var(--soft)}
h2.title{text-transform:none;color:inherit}
.I{--grade:var(--g1)}.II{--grade:var(--g2)}.III{--grade:var(--g3)}.IV{--grade:var(--g4)}.none{--grade:var(--g0)}
.severity{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1.5rem;align-items:center;margin:0 0 2rem;
padding:1.25rem 1.5rem;border-radius:.75rem;border-left:.4rem solid var(--grade);
background:color-mix(in srgb,var(--grade) var(--tint),var(--card))}
.grade{min-width:3.2rem;text-align:center;font:650 2.6rem/1 Georgia,"Liberation Serif","DejaVu Serif",serif;
color:var(--grade)}
.verdict{margin:0;font-weight:600;font-size:1.1rem}
.meter{display:flex;gap:.25rem;margin:.5rem 0 0;max-width:16rem}
.meter i{flex:1;height:.4rem;border-radius:.2rem;background:color-mix(in srgb,var(--grade) 22%,transparent)}
.meter i.on{background:var(--grade)}
.why{grid-column:1/-1;margin:.9rem 0 0;padding:0;list-style:none;font-size:.95rem;color:var(--soft)}
.why li{padding-left:1.1rem;text-indent:-1.1rem}.why li::before{content:"→ ";color:var(--grade)}
.why li.basis{padding:0;text-indent:0;font-size:.85rem}.why li.basis::before{content:none}
.notice{margin:0 0 1.5rem;padding:.8rem 1.1rem;border-radius:.5rem;border:1px solid var(--g1);color:var(--g1);
font-weight:600}
.lead{margin:0 0 2.5rem;font-size:1.08rem}.lead p{margin:0 0 1em;max-width:44rem}
.cards{columns:2;column-gap:1.25rem}
section{break-inside:avoid;margin:0 0 1.25rem;padding:1.25rem 1.4rem;border:1px solid var(--line);border-radius:.75rem;
background:var(--card)}
dl{margin:0}dt{font-size:.85rem;color:var(--soft)}dd{margin:0 0 .7rem}
dd+dd{margin-top:-.5rem}dd:last-child{margin-bottom:0}
ol.time{margin:0;padding:0;list-style:none}
ol.time li{position:relative;padding:0 0 .9rem 1.3rem;border-left:2px solid var(--line);margin-left:.35rem}
ol.time li+li{margin-top:0}ol.time li:last-child{padding-bottom:0;border-color:transparent}
ol.time li::before{content:"";position:absolute;left:-.4rem;top:.5rem;width:.65rem;height:.65rem;border-radius:50%;
background:var(--card);border:2px solid var(--soft)}
time{display:block;font-size:.85rem;color:var(--soft);font-variant-numeric:tabular-nums}
ul{margin:0;padding-left:1.1rem}li+li{margin-top:.35rem}
.unknown{border-style:dashed;background:none;color:var(--soft)}
.small{font-size:.85rem;color:var(--soft)}
footer{margin-top:2rem;font-size:.8rem;color:var(--soft)}
code{font:.92em ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace}
nav table{width:100%;border-collapse:collapse;margin:0 0 3.5rem}
nav th{text-align:left;white-space:nowrap;font-size:.8rem;font-weight:600;color:var(--soft)}
nav th,nav td{padding:.55rem .9rem .55rem 0;border-bottom:1px solid var(--line);vertical-align:top}
nav td:first-child{font:650 1.05rem/1.5 Georgia,"Liberation Serif",serif;color:var(--grade);white-space:nowrap}
nav td:nth-child(n+3){white-space:nowrap;font-size:.85rem;color:var(--soft)}
nav a{text-decoration:none;color:inherit;font-weight:550}nav a:hover{text-decoration:underline}
@media(max-width:44rem){main{padding:1.5rem 1.1rem 3rem}.cards{columns:1}.severity{padding:1rem 1.1rem;gap:.25rem 1rem}
.tlp{flex-wrap:wrap;gap:.1rem .75rem;text-align:center}
nav thead{display:none}nav tr{display:grid;grid-template-columns:3rem 1fr;padding:.6rem 0;
border-bottom:1px solid var(--line)}nav td{padding:0;border:0}nav td:nth-child(n+3){grid-column:2;font-size:.8rem}}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--link:#000;--tint:0%}
body{font-size:10.5pt}main{max-width:none;padding:0}article+article{break-before:page;border:0;margin:0;padding:0}
.tlp{border:2px solid #000;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.meter i,.grade{print-color-adjust:exact;-webkit-print-color-adjust:exact}
section{padding:.6rem .8rem;break-inside:auto}
dt,h2{break-after:avoid}dd,li,.severity{break-inside:avoid}
.tlp{margin-bottom:1.2rem}.severity,.lead{margin-bottom:1rem}
a[href^="http"]::after{content:" (" attr(href) ")";font-size:.85em;color:#444}}
"""
