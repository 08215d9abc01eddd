"""Which of llama-server's options are no settings here, and why (names and variables: common/arg.cpp).

Each line is one option: names, negations after `!`, a placeholder where it takes a value, and its variable. Several names of one line
ask for things alike. `= a b` at the end of a refused one are values that ask for nothing and are let pass.
"""

from __future__ import annotations

HARMLESS = {
    "it is always so": """
        --metrics LLAMA_ARG_ENDPOINT_METRICS
        --log-prefix !--no-log-prefix LLAMA_ARG_LOG_PREFIX
        --log-timestamps !--no-log-timestamps LLAMA_ARG_LOG_TIMESTAMPS
        --perf !--no-perf LLAMA_ARG_PERF
        --offline LLAMA_ARG_OFFLINE
    """,
    "--log-format says it": """
        --log-colors WHEN LLAMA_ARG_LOG_COLORS
    """,
    "the cache works in another way": """
        --cache-reuse N LLAMA_ARG_CACHE_REUSE
        --cache-idle-slots !--no-cache-idle-slots LLAMA_ARG_CACHE_IDLE_SLOTS
        -ctxcp --ctx-checkpoints --swa-checkpoints N LLAMA_ARG_CTX_CHECKPOINTS
        -cms --checkpoint-min-step N LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT
        -sps --slot-prompt-similarity N
        --swa-full LLAMA_ARG_SWA_FULL
        -dt --defrag-thold N LLAMA_ARG_DEFRAG_THOLD
        --keep N
    """,
    "there are no slots to look at": """
        --slots !--no-slots LLAMA_ARG_ENDPOINT_SLOTS
    """,
    "the page keeps its settings in the browser": """
        --ui-config --webui-config JSON LLAMA_ARG_UI_CONFIG
        --ui-config-file --webui-config-file FILE LLAMA_ARG_UI_CONFIG_FILE
    """,
    "one thread serves HTTP": """
        --threads-http N LLAMA_ARG_THREADS_HTTP
    """,
    "--ctx-size 0 measures the memory": """
        -fit --fit WHEN LLAMA_ARG_FIT
        -fitt --fit-target MIB LLAMA_ARG_FIT_TARGET
        -fitc --fit-ctx N LLAMA_ARG_FIT_CTX
    """,
    "it is about several devices": """
        --op-offload !--no-op-offload
        -cmoe --cpu-moe LLAMA_ARG_CPU_MOE
        -ncmoe --n-cpu-moe N LLAMA_ARG_N_CPU_MOE
        -ncffn --n-cpu-ffn N LLAMA_ARG_N_CPU_FFN
        --no-host LLAMA_ARG_NO_HOST
    """,
    "models carry no tags": """
        --tags TAGS LLAMA_ARG_TAGS
    """,
    "nothing asks for it": """
        --poll N
        --poll-batch N
        --spm-infill
        -lzm --lazy-mode MODE LLAMA_ARG_LAZY_MODE
    """,
}

REFUSED = {
    "give the path of a file with --model": """
        -mu --model-url URL LLAMA_ARG_MODEL_URL
        -hf -hfr --hf-repo REPO LLAMA_ARG_HF_REPO
        -hff --hf-file FILE LLAMA_ARG_HF_FILE
        -hft --hf-token TOKEN
        -dr --docker-repo REPO LLAMA_ARG_DOCKER_REPO
        -cl --cache-list
        --embd-gemma-default
        --fim-qwen-1.5b-default
        --fim-qwen-3b-default
        --fim-qwen-7b-default
        --fim-qwen-7b-spec
        --fim-qwen-14b-spec
        --fim-qwen-30b-default
        --gpt-oss-20b-default
        --gpt-oss-120b-default
        --vision-gemma-4b-default
        --vision-gemma-12b-default
    """,
    "one model is served": """
        --models-dir FOLDER LLAMA_ARG_MODELS_DIR
        --models-preset FILE LLAMA_ARG_MODELS_PRESET
        --models-max N LLAMA_ARG_MODELS_MAX = 4
        --models-autoload !--no-models-autoload LLAMA_ARG_MODELS_AUTOLOAD = on off
        --sleep-idle-seconds N = -1
    """,
    "images, audio and video are not served": """
        -mm --mmproj FILE LLAMA_ARG_MMPROJ
        -mmu --mmproj-url URL LLAMA_ARG_MMPROJ_URL
        --mmproj-auto !--no-mmproj !--no-mmproj-auto LLAMA_ARG_MMPROJ_AUTO = on off
        --mmproj-offload !--no-mmproj-offload LLAMA_ARG_MMPROJ_OFFLOAD = on off
        -mmdev --mmproj-device DEVICE MTMD_BACKEND_DEVICE
        --image-min-tokens N LLAMA_ARG_IMAGE_MIN_TOKENS
        --image-max-tokens N LLAMA_ARG_IMAGE_MAX_TOKENS
        --mtmd-batch-max-tokens N LLAMA_ARG_MTMD_BATCH_MAX_TOKENS
        --video-fps N LLAMA_ARG_VIDEO_FPS
        --video-timestamp-interval N LLAMA_ARG_VIDEO_TIMESTAMP_INTERVAL
        --video-ffmpeg-dir FOLDER LLAMA_ARG_VIDEO_FFMPEG_DIR
        --media-path FOLDER
    """,
    "embeddings and ranking are not served": """
        --embedding --embeddings LLAMA_ARG_EMBEDDINGS
        --rerank --reranking LLAMA_ARG_RERANKING
        --pooling TYPE LLAMA_ARG_POOLING
        --embd-normalize N
    """,
    "adapters and changes to the model are not served": """
        --lora FILE
        --lora-scaled FILE:SCALE
        --lora-init-without-apply
        --control-vector FILE
        --control-vector-scaled FILE:SCALE
        --control-vector-layer-range START
        --override-kv KEY=TYPE:VALUE
        -ot --override-tensor PATTERN=TYPE LLAMA_ARG_OVERRIDE_TENSOR
        --check-tensors
        --repack !-nr !--no-repack LLAMA_ARG_REPACK = on
    """,
    "other machines are not served": """
        --rpc SERVERS LLAMA_ARG_RPC
        --list-devices
    """,
    "set it from outside, as with taskset, nice or numactl": """
        -C --cpu-mask MASK
        -Cr --cpu-range RANGE
        --cpu-strict 0|1 = 0
        --prio N = 0
        -Cb --cpu-mask-batch MASK
        -Crb --cpu-range-batch RANGE
        --cpu-strict-batch 0|1 = 0
        --prio-batch N = 0
        --numa TYPE LLAMA_ARG_NUMA
    """,
    "a text ends where the context does": """
        --context-shift !--no-context-shift LLAMA_ARG_CONTEXT_SHIFT = off
    """,
    "--ctx-size and --parallel say it": """
        --kv-unified-per-slot N LLAMA_ARG_KV_UNIFIED_PER_SLOT
    """,
    "requests are always batched": """
        -cb --cont-batching !-nocb !--no-cont-batching LLAMA_ARG_CONT_BATCHING = on
    """,
    "give stop texts in the request": """
        -r --reverse-prompt TEXT
        -sp --special
        -e --escape !--no-escape = on
    """,
    "grammars and schemas are not served": """
        --grammar GRAMMAR
        --grammar-file FILE
        -j --json-schema SCHEMA
        -jf --json-schema-file FILE
    """,
    "the sampler runs on the CPU": """
        -bs --backend-sampling LLAMA_ARG_BACKEND_SAMPLING
    """,
    "templates are always rendered by Jinja": """
        --jinja !--no-jinja LLAMA_ARG_JINJA = on
        --skip-chat-parsing !--no-skip-chat-parsing LLAMA_ARG_SKIP_CHAT_PARSING = on off
    """,
    "tools and reasoning are not served": """
        --chat-template-kwargs JSON LLAMA_ARG_CHAT_TEMPLATE_KWARGS = {}
        --prefill-assistant !--no-prefill-assistant LLAMA_ARG_PREFILL_ASSISTANT = on
        --reasoning-format FORMAT LLAMA_ARG_THINK = auto none
        -rea --reasoning WHEN LLAMA_ARG_REASONING = auto
        --reasoning-effort LEVEL LLAMA_ARG_REASONING_EFFORT = default
        --reasoning-budget N LLAMA_ARG_THINK_BUDGET = -1
        --reasoning-budget-message TEXT LLAMA_ARG_THINK_BUDGET_MESSAGE
        --reasoning-preserve !--no-reasoning-preserve LLAMA_ARG_REASONING_PRESERVE = on
        --tools TOOLS LLAMA_ARG_TOOLS
        --tools-runtime RUNTIME LLAMA_ARG_TOOLS_RUNTIME
        --mcp-servers-config FILE LLAMA_ARG_MCP_SERVERS_CONFIG
        --mcp-servers-json JSON LLAMA_ARG_MCP_SERVERS_JSON
        -ag --agent !-no-ag !--no-agent LLAMA_ARG_AGENT = off
        --ui-mcp-proxy --webui-mcp-proxy !--no-ui-mcp-proxy !--no-webui-mcp-proxy LLAMA_ARG_UI_MCP_PROXY = off
    """,
    "put a proxy before the service": """
        --ssl-key-file FILE LLAMA_ARG_SSL_KEY_FILE
        --ssl-cert-file FILE LLAMA_ARG_SSL_CERT_FILE
    """,
    "the log goes to standard error and holds no prompts": """
        --log-file FILE LLAMA_ARG_LOG_FILE
        --log-prompts-dir FOLDER
        --slot-save-path FOLDER
        --completion-bash
    """,
    "speculative decoding is not served": """
        -lcs --lookup-cache-static FILE
        -lcd --lookup-cache-dynamic FILE
        -md --spec-draft-model --model-draft FILE LLAMA_ARG_SPEC_DRAFT_MODEL
        -hfd -hfrd --spec-draft-hf --hf-repo-draft REPO LLAMA_ARG_SPEC_DRAFT_HF_REPO
        -ctkd --spec-draft-type-k --cache-type-k-draft TYPE LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K = f16
        -ctvd --spec-draft-type-v --cache-type-v-draft TYPE LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V = f16
        -ngld --spec-draft-ngl --gpu-layers-draft --n-gpu-layers-draft N LLAMA_ARG_N_GPU_LAYERS_DRAFT = auto
        --spec-type TYPES LLAMA_ARG_SPEC_TYPE = none
        --spec-default
        --spec-draft-n-max N LLAMA_ARG_SPEC_DRAFT_N_MAX
        --spec-draft-n-min N LLAMA_ARG_SPEC_DRAFT_N_MIN
        --draft --draft-n --draft-max N LLAMA_ARG_DRAFT_MAX
        --draft-min --draft-n-min N LLAMA_ARG_DRAFT_MIN
        --spec-draft-p-split --draft-p-split P LLAMA_ARG_SPEC_DRAFT_P_SPLIT
        --spec-draft-p-min --draft-p-min P LLAMA_ARG_SPEC_DRAFT_P_MIN
        --spec-draft-backend-sampling !--no-spec-draft-backend-sampling LLAMA_ARG_SPEC_DRAFT_BACKEND_SAMPLING = on off
        -cmoed --spec-draft-cpu-moe --cpu-moe-draft LLAMA_ARG_SPEC_DRAFT_CPU_MOE
        -ncmoed --spec-draft-ncmoe --spec-draft-n-cpu-moe --n-cpu-moe-draft N LLAMA_ARG_SPEC_DRAFT_N_CPU_MOE
        -devd --spec-draft-device --device-draft DEVICES
        -otd --spec-draft-override-tensor --override-tensor-draft PATTERN=TYPE
        -td --spec-draft-threads --threads-draft -tbd --spec-draft-threads-batch --threads-batch-draft N
        -Cd --spec-draft-cpu-mask --cpu-mask-draft -Cbd --spec-draft-cpu-mask-batch --cpu-mask-batch-draft MASK
        -Crd --spec-draft-cpu-range --cpu-range-draft RANGE
        --spec-draft-cpu-strict --cpu-strict-draft --spec-draft-cpu-strict-batch --cpu-strict-batch-draft 0|1
        --spec-draft-prio --prio-draft --spec-draft-prio-batch --prio-batch-draft N
        --spec-draft-poll --poll-draft --spec-draft-poll-batch --poll-batch-draft N
        --spec-synth-len L LLAMA_ARG_SPEC_SYNTH_LEN
        --spec-synth-rates RATES LLAMA_ARG_SPEC_SYNTH_RATES
        --spec-ngram-mod-n-min --spec-ngram-mod-n-max --spec-ngram-mod-n-match N
        --spec-ngram-simple-size-n --spec-ngram-simple-size-m --spec-ngram-simple-min-hits N
        --spec-ngram-map-k-size-n --spec-ngram-map-k-size-m --spec-ngram-map-k-min-hits N
        --spec-ngram-map-k4v-size-n --spec-ngram-map-k4v-size-m --spec-ngram-map-k4v-min-hits N
        --spec-ngram-size-n --spec-ngram-size-m --spec-ngram-min-hits N
    """,
}
