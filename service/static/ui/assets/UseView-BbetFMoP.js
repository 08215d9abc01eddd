import{B as e,S as t,a as n,r,t as i,v as a,y as o,z as s}from"./jsxRuntime-Dvfdjayo.js";import{t as c}from"./Copy-BWPWB850.js";var l=({needsKey:e})=>e?`$MISTRAL_API_KEY`:`none`,u=e=>`curl ${e.url}/chat/completions \\
  -H 'Content-Type: application/json' \\${e.needsKey?`
  -H "Authorization: Bearer $MISTRAL_API_KEY" \\`:``}
  -d '{
    "messages": [{"role": "user", "content": "Hello!"}],
    "max_tokens": 100,
    "stream": true
  }'`,d=e=>`${e.needsKey?`import os

`:``}from openai import OpenAI

client = OpenAI(
    base_url="${e.url}",
    api_key=${e.needsKey?`os.environ["MISTRAL_API_KEY"]`:`"none"`},
)
stream = client.chat.completions.create(
    model="${e.model}",
    messages=[{"role": "user", "content": "Hello!"}],
    stream=True,
)
for event in stream:
    if event.choices:
        print(event.choices[0].delta.content or "", end="", flush=True)`,f=e=>`import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "${e.url}",
  apiKey: ${e.needsKey?`process.env.MISTRAL_API_KEY`:`"none"`},
});
const stream = await client.chat.completions.create({
  model: "${e.model}",
  messages: [{ role: "user", content: "Hello!" }],
  stream: true,
});
for await (const event of stream) {
  process.stdout.write(event.choices[0]?.delta?.content ?? "");
}`,p=e=>`const response = await fetch("${e.url}/chat/completions", {
  method: "POST",
  headers: { "Content-Type": "application/json"${e.needsKey?", Authorization: `Bearer ${key}`":``} },
  body: JSON.stringify({ messages: [{ role: "user", content: "Hello!" }] }),
});
const { choices } = await response.json();
console.log(choices[0].message.content);`,m=e=>`kubectl run ask --rm -i --restart=Never --image=curlimages/curl -- \\
  curl -s ${e.url}/chat/completions \\
  -H 'Content-Type: application/json' \\${e.needsKey?`\n  -H "Authorization: Bearer ${l(e)}" \\`:``}
  -d '{"messages": [{"role": "user", "content": "Hello!"}]}'

# For a pod that speaks to OpenAI's API:
env:
  - name: OPENAI_BASE_URL
    value: ${e.url}
  - name: OPENAI_API_KEY
${e.needsKey?`    valueFrom: {secretKeyRef: {name: mistral-api, key: api-key}}`:`    value: none`}`;function h({heading:e,help:t,code:n}){return i(`section`,{class:`card`,children:[i(`h2`,{children:e}),t&&i(`p`,{class:`help`,children:t}),i(`div`,{class:`code`,children:[i(`div`,{class:`code-head`,children:[i(`span`,{}),i(c,{named:!0,text:()=>n,label:`${r.chat.copy}: ${e}`})]}),i(`pre`,{tabIndex:0,children:i(`code`,{children:n})})]})]})}function g({label:t,value:n,note:a}){return i(`div`,{children:[i(`dt`,{children:t}),i(`dd`,{children:a??i(e,{children:[i(`code`,{children:n}),i(c,{text:()=>n,label:`${r.chat.copy}: ${t}`})]})})]})}function _(){let[e,c]=s(`mistral-api`),[l,_]=s(`default`),v={url:a(`v1`),model:n.value?.id??`default`,needsKey:o.value!==``},y={...v,url:`http://${e}.${l}.svc:8000${t.pathname}v1`};return i(`main`,{id:`main`,class:`page`,tabIndex:-1,children:[i(`h1`,{children:r.use.heading}),i(`section`,{class:`card`,children:[i(`p`,{children:r.use.intro}),i(`dl`,{class:`rows values`,children:[i(g,{label:r.use.baseUrl,value:v.url}),i(g,{label:r.use.modelName,value:v.model}),i(g,{label:r.use.key,value:``,note:v.needsKey?r.use.keyNeeded:r.use.keyNotNeeded})]}),i(`p`,{class:`help`,children:[r.use.toolsHelp,` `,i(`a`,{href:new URL(`docs`,t).href,children:r.use.docs})]})]}),i(h,{heading:r.use.curl,code:u(v)}),i(h,{heading:r.use.python,help:r.use.pythonHelp,code:d(v)}),i(h,{heading:r.use.javascript,help:r.use.javascriptHelp,code:f(v)}),i(h,{heading:r.use.fetch,code:p(v)}),i(`section`,{class:`card`,children:i(`div`,{class:`row`,children:[i(`label`,{children:[r.use.service,` `,i(`input`,{value:e,onInput:e=>c(e.currentTarget.value.trim())})]}),i(`label`,{children:[r.use.namespace,` `,i(`input`,{value:l,onInput:e=>_(e.currentTarget.value.trim())})]})]})}),i(h,{heading:r.use.cluster,help:r.use.clusterHelp,code:m(y)})]})}export{_ as UseView};