import{H as e,S as t,V as n,a as r,l as i,r as a,t as o,v as s,y as c}from"./jsxRuntime-BmOeg4mj.js";import{t as l}from"./Copy-C72wCOyI.js";var u=({needsKey:e})=>e?`$MISTRAL_API_KEY`:`none`,d=e=>`curl ${e.url}/chat/completions \\
  -H 'Content-Type: application/json' \\${e.needsKey?`
  -H "Authorization: Bearer $MISTRAL_API_KEY" \\`:``}
  -d '{
    "messages": [{"role": "user", "content": "Hello!"}],
    "max_tokens": 100,
    "stream": true
  }'`,f=e=>`${e.needsKey?`import os

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
        print(event.choices[0].delta.content or "", end="", flush=True)`,p=e=>`import OpenAI from "openai";

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
}`,m=e=>`const response = await fetch("${e.url}/chat/completions", {
  method: "POST",
  headers: { "Content-Type": "application/json"${e.needsKey?", Authorization: `Bearer ${key}`":``} },
  body: JSON.stringify({ messages: [{ role: "user", content: "Hello!" }] }),
});
const { choices } = await response.json();
console.log(choices[0].message.content);`,h=e=>`kubectl run ask --rm -i --restart=Never --image=curlimages/curl -- \\
  curl -s ${e.url}/chat/completions \\
  -H 'Content-Type: application/json' \\${e.needsKey?`\n  -H "Authorization: Bearer ${u(e)}" \\`:``}
  -d '{"messages": [{"role": "user", "content": "Hello!"}]}'

# For a pod that speaks to OpenAI's API:
env:
  - name: OPENAI_BASE_URL
    value: ${e.url}
  - name: OPENAI_API_KEY
${e.needsKey?`    valueFrom: {secretKeyRef: {name: mistral-api, key: api-key}}`:`    value: none`}`;function g({heading:e,help:t,code:n}){return o(`section`,{class:`card`,children:[o(`h2`,{children:e}),t&&o(`p`,{class:`help`,children:t}),o(`div`,{class:`code`,children:[o(`div`,{class:`code-head`,children:[o(`span`,{}),o(l,{named:!0,text:()=>n,label:`${a.chat.copy}: ${e}`})]}),o(`pre`,{tabIndex:0,children:o(`code`,{children:n})})]})]})}function _({label:t,value:n,note:r}){return o(`div`,{children:[o(`dt`,{children:t}),o(`dd`,{children:r??o(e,{children:[o(`code`,{children:n}),o(l,{text:()=>n,label:`${a.chat.copy}: ${t}`})]})})]})}function v(){let[e,l]=n(`mistral-api`),[u,v]=n(`default`),y={url:s(`v1`),model:r.value?.id??`default`,needsKey:c.value!==``},b={...y,url:`http://${e}.${u}.svc:8000${i.value?.api_prefix??``}/v1`};return o(`main`,{id:`main`,class:`page`,tabIndex:-1,children:[o(`h1`,{children:a.use.heading}),o(`section`,{class:`card`,children:[o(`p`,{children:a.use.intro}),o(`dl`,{class:`rows values`,children:[o(_,{label:a.use.baseUrl,value:y.url}),o(_,{label:a.use.modelName,value:y.model}),o(_,{label:a.use.key,value:``,note:y.needsKey?a.use.keyNeeded:a.use.keyNotNeeded})]}),o(`p`,{class:`help`,children:[a.use.toolsHelp,` `,o(`a`,{href:new URL(`docs`,t).href,children:a.use.docs})]})]}),o(g,{heading:a.use.curl,code:d(y)}),o(g,{heading:a.use.python,help:a.use.pythonHelp,code:f(y)}),o(g,{heading:a.use.javascript,help:a.use.javascriptHelp,code:p(y)}),o(g,{heading:a.use.fetch,code:m(y)}),o(`section`,{class:`card`,children:o(`div`,{class:`row`,children:[o(`label`,{children:[a.use.service,` `,o(`input`,{value:e,onInput:e=>l(e.currentTarget.value.trim())})]}),o(`label`,{children:[a.use.namespace,` `,o(`input`,{value:u,onInput:e=>v(e.currentTarget.value.trim())})]})]})}),o(g,{heading:a.use.cluster,help:a.use.clusterHelp,code:h(b)})]})}export{v as UseView};