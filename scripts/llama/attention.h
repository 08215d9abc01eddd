// Attention of many sequences in one pool of cells, whose result does not depend on what else is in the pool or in the batch.
//
// llama.cpp has three kernels for attention on a CPU (one row split over threads, few rows, many rows); each sums in an order that follows
// from where cells lie, how many rows there are and how many threads. What differs is the last bit, but activations are rounded to 8
// bits afterwards, so one bit turns a greedy token every few hundred. Here a row's result depends on the cells that it sees and on
// nothing else: scores are sums over a head's dimensions in one fixed order, and sums over cells have 64 bits, of which the order
// changes only what the rounding to 32 bits then drops.
//
// Most cells of a shared pool are masked for each row, so a row's cells are found first. Rows that see nearly the same cells (those
// of one prompt, those that share a prefix) and the heads that share K and V are computed together: a cell is converted once for all.
//
// Included by ops.cpp, once for each CPU variant. Vectors are the compiler's own (GCC and Clang), so there is one source for all CPUs.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <algorithm>
#include <vector>

#if defined(__GNUC__)
#define GGML_FA_ROWS

#define GGML_FA_NOINLINE __attribute__((__noinline__))

#if defined(__AVX512F__)
#define GGML_FA_LANES 16
#elif defined(__AVX__)
#define GGML_FA_LANES 8
#else
#define GGML_FA_LANES 4
#endif

namespace ggml_fa_rows {

constexpr int LANES   = GGML_FA_LANES;      // floats in a register; also cells whose scores are computed together
constexpr int HALF    = LANES/2;            // doubles in a register
constexpr int V_CELLS = 16;                 // cells whose V is converted at a time
constexpr int QUERIES = 32;                 // rows times heads that are computed together
constexpr int FEW     = 4;                  // of them: cells are read where they lie,
constexpr int FEW_CELLS = 64;               // so many after each other
constexpr int64_t FEW_BYTES = 64*1024*1024; // of scores, for several rows
constexpr int64_t SCORES = 128*1024;        // that fit into the cache beside everything else

typedef float  floats  __attribute__((vector_size(4*LANES), aligned(4)));
typedef double doubles __attribute__((vector_size(8*HALF),  aligned(8)));
typedef float  half_floats __attribute__((vector_size(4*HALF), aligned(4)));
typedef int32_t indices __attribute__((vector_size(4*LANES)));

// What all parts know of one operation.
struct op {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * v;
    const ggml_tensor * mask;
    const ggml_tensor * sinks;
    ggml_tensor *       dst;
    int64_t dk, dv, rows, heads, kv_heads, group, cells;
    float scale, max_bias, softcap, m0, m1;
    uint32_t n_head_log2;

    op(ggml_tensor * t)
        : q(t->src[0]), k(t->src[1]), v(t->src[2]), mask(t->src[3]), sinks(t->src[4]), dst(t),
          dk(k->ne[0]), dv(v->ne[0]), rows(q->ne[1]), heads(q->ne[2]), kv_heads(k->ne[2]), group(heads/kv_heads), cells(k->ne[1]) {
        memcpy(&scale,    (const float *) t->op_params + 0, sizeof(float));
        memcpy(&max_bias, (const float *) t->op_params + 1, sizeof(float));
        memcpy(&softcap,  (const float *) t->op_params + 2, sizeof(float));
        if (softcap != 0) {
            scale /= softcap;
        }
        n_head_log2 = 1u << (uint32_t) floor(log2(heads));
        m0 = powf(2.0f, -(max_bias       ) / n_head_log2);
        m1 = powf(2.0f, -(max_bias / 2.0f) / n_head_log2);
    }

    bool fits() const {
        const auto readable = [](const ggml_tensor * t) {
            return t->type == GGML_TYPE_F32 || t->type == GGML_TYPE_F16 || ggml_get_type_traits(t->type)->to_float;
        };
        return q->type == GGML_TYPE_F32 && q->ne[3] == k->ne[3] && k->ne[3] == v->ne[3] && v->ne[2] == kv_heads && heads % kv_heads == 0
            && dk % LANES == 0 && dv % LANES == 0 && readable(k) && readable(v)
            && (!mask || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1));
    }

    static int64_t stride(int64_t cells) { return (cells + LANES - 1)/LANES*LANES; }

    // Few rows are shared out over the threads by cells and dimensions, else some threads would have nothing to do. All scores stand in
    // memory then: the planner in ggml-cpu.c reserves it by the same rule, for at least as many threads.
    bool few(int64_t row_heads, int64_t threads) const {
        return row_heads < 4*threads && (rows == 1 || (int64_t) sizeof(float)*row_heads*group*(stride(cells) + 2) <= FEW_BYTES);
    }

    const float * query(int64_t row, int64_t head, int64_t i3) const {
        return (const float *) ((const char *) q->data + row*q->nb[1] + head*q->nb[2] + i3*q->nb[3]);
    }
    const char * key(int64_t kv_head, int64_t i3)   const { return (const char *) k->data + kv_head*k->nb[2] + i3*k->nb[3]; }
    const char * value(int64_t kv_head, int64_t i3) const { return (const char *) v->data + kv_head*v->nb[2] + i3*v->nb[3]; }
    const ggml_fp16_t * masks(int64_t row, int64_t i3) const {
        return mask ? (const ggml_fp16_t *) ((const char *) mask->data + row*mask->nb[1] + (i3%mask->ne[3])*mask->nb[3]) : nullptr;
    }
    float * result(int64_t row, int64_t head, int64_t i3) const {
        return (float *) ((char *) dst->data + (i3*dst->ne[2]*dst->ne[1] + head + row*dst->ne[1])*dst->nb[1]);
    }
    float slope(int64_t head) const {
        const uint32_t h = head;
        return max_bias > 0.0f ? h < n_head_log2 ? powf(m0, h + 1) : powf(m1, 2*(h - n_head_log2) + 1) : 1.0f;
    }
};

// Which cells a row sees, one bit each.
struct sight {
    std::vector<uint64_t> bits;
    int64_t count = 0;
    bool    plain = true; // nothing is added to what is seen

    void look(const ggml_fp16_t * m, int64_t cells) {
        const int64_t words = (cells + 63)/64;
        bits.assign(words, 0);
        count = 0;
        plain = true;
        for (int64_t w = 0; w < words; ++w) {
            const int64_t begin = 64*w;
            const int64_t end   = std::min(begin + 64, cells);
            uint64_t seen  = 0;
            uint16_t added = 0;
            if (!m) {
                seen = end - begin == 64 ? ~0ull : (1ull << (end - begin)) - 1;
            } else if (end - begin == 64) {
                seen = word(m + begin, added);
            } else {
                for (int64_t i = begin; i < end; ++i) {
                    if (m[i] != 0xFC00) {
                        seen  |= 1ull << (i - begin);
                        added |= m[i];
                    }
                }
            }
            bits[w] = seen;
            count  += __builtin_popcountll(seen);
            plain   = plain && !(added & 0x7FFF);
        }
    }

    // -inf is found by its bits.
    static uint64_t word(const ggml_fp16_t * m, uint16_t & added) {
#if defined(__AVX512BW__)
        const __m512i hidden = _mm512_set1_epi16((short) 0xFC00);
        const __m512i a = _mm512_loadu_si512(m);
        const __m512i b = _mm512_loadu_si512(m + 32);
        const __mmask32 sa = _mm512_cmpneq_epi16_mask(a, hidden);
        const __mmask32 sb = _mm512_cmpneq_epi16_mask(b, hidden);
        const __m512i zero = _mm512_setzero_si512();
        added = _mm512_mask_cmpneq_epi16_mask(sa, a, zero) || _mm512_mask_cmpneq_epi16_mask(sb, b, zero);
        return (uint64_t) sa | (uint64_t) sb << 32;
#else
        uint64_t seen = 0;
        for (int part = 0; part < 64; part += 8) {
            uint16_t any = 0;
            for (int i = 0; i < 8; ++i) {
                any |= m[part + i] ^ 0xFC00;
            }
            for (int i = 0; any && i < 8; ++i) {
                if (m[part + i] != 0xFC00) {
                    seen  |= 1ull << (part + i);
                    added |= m[part + i];
                }
            }
        }
        return seen;
#endif
    }

    void add(const sight & other) {
        count = 0;
        for (size_t w = 0; w < bits.size(); ++w) {
            bits[w] |= other.bits[w];
            count += __builtin_popcountll(bits[w]);
        }
        plain = plain && other.plain;
    }

    int64_t with(const sight & other) const {
        int64_t sum = 0;
        for (size_t w = 0; w < bits.size(); ++w) {
            sum += __builtin_popcountll(bits[w] | other.bits[w]);
        }
        return sum;
    }

    // The first cell of `all` that is not seen here.
    int32_t first_hidden(const sight & all) const {
        for (size_t w = 0; w < bits.size(); ++w) {
            if (const uint64_t hidden = all.bits[w] & ~bits[w]) {
                return 64*w + __builtin_ctzll(hidden);
            }
        }
        return INT32_MAX;
    }

    void list(std::vector<int32_t> & cells) const {
        cells.clear();
        for (size_t w = 0; w < bits.size(); ++w) {
            for (uint64_t left = bits[w]; left; left &= left - 1) {
                cells.push_back(64*w + __builtin_ctzll(left));
            }
        }
    }
};

// One row and head. `mask` adds to its scores; nothing where it is null, or before the cell `hidden` where the mask is plain.
struct query {
    const float *       q;
    const ggml_fp16_t * mask;
    int32_t             hidden;
    float               slope;
};

// The scratch of one thread.
struct scratch {
    std::vector<sight>   sights;
    sight                all;
    std::vector<int32_t> cells;
    std::vector<query>   queries;
    std::vector<float>   k, v, scores;
    std::vector<double>  wide_v, weights, sums, inverse;
};

inline floats  load(const float * p)  { return *(const floats *) p; }
inline doubles load(const double * p) { return *(const doubles *) p; }
inline void store(float * p, floats x)   { *(floats *) p = x; }
inline void store(double * p, doubles x) { *(doubles *) p = x; }

// A register of values from memory.
inline floats as_floats(const float * p) { return load(p); }

inline doubles as_doubles(const float * p) {
#if defined(__AVX512F__)
    return (doubles) _mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif defined(__AVX__)
    return (doubles) _mm256_cvtps_pd(_mm_loadu_ps(p));
#else
    return __builtin_convertvector(*(const half_floats *) p, doubles);
#endif
}

#if defined(__AVX512F__)
#define GGML_FA_HALVES
inline floats as_floats(const ggml_fp16_t * p) { return (floats) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p)); }
inline doubles as_doubles(const ggml_fp16_t * p) {
    return (doubles) _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p)));
}
#elif defined(__F16C__)
#define GGML_FA_HALVES
inline floats as_floats(const ggml_fp16_t * p) { return (floats) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p)); }
inline doubles as_doubles(const ggml_fp16_t * p) {
    return (doubles) _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *) p)));
}
#endif

// Whether the functions above read values of a type.
inline bool direct(ggml_type type) {
#if defined(GGML_FA_HALVES)
    return type == GGML_TYPE_F16 || type == GGML_TYPE_F32;
#else
    return type == GGML_TYPE_F32;
#endif
}

// Cells lie far apart: while some are computed, the next ones are fetched.
inline void prefetch(const char * rows, size_t row_stride, const int32_t * cells, int64_t begin, int64_t end, size_t bytes) {
    for (int64_t c = begin; c < end; ++c) {
        for (size_t b = 0; b < bytes; b += CACHE_LINE_SIZE) {
            __builtin_prefetch(rows + cells[c]*row_stride + b);
        }
    }
}

inline void to_floats(ggml_type type, const char * from, float * to, int64_t n) {
    if (type == GGML_TYPE_F32) {
        memcpy(to, from, n*sizeof(float));
#if defined(GGML_FA_HALVES)
    } else if (type == GGML_TYPE_F16) {
        for (int64_t i = 0; i < n; i += LANES) {
            store(to + i, as_floats((const ggml_fp16_t *) from + i));
        }
#endif
    } else {
        ggml_get_type_traits(type)->to_float(from, to, n);
    }
}

#if defined(__clang__)
#define GGML_FA_PICK(x, y, mask) ggml_fa_rows::pick(x, y, mask)
inline floats pick(floats x, floats y, indices mask) {
    floats r;
    for (int i = 0; i < LANES; ++i) {
        r[i] = mask[i] < LANES ? x[mask[i]] : y[mask[i] - LANES];
    }
    return r;
}
#else
#define GGML_FA_PICK(x, y, mask) __builtin_shuffle(x, y, mask)
#endif

// Adds the halves of each block of B lanes of x and of y; the sums of x and of y then alternate in blocks of B/2.
template <int B> inline floats fold(floats x, floats y) {
    indices low, high;
    for (int i = 0; i < LANES; ++i) {
        const int block = i/B, half = i%B/(B/2), lane = i%(B/2);
        low[i]  = block*B + lane + half*LANES;
        high[i] = low[i] + B/2;
    }
    return GGML_FA_PICK(x, y, low) + GGML_FA_PICK(x, y, high);
}

template <int B> inline floats sums_of(floats * x) {
    for (int i = 0; i < B/2; ++i) {
        x[i] = fold<B>(x[i], x[i + B/2]);
    }
    if constexpr (B > 2) {
        return sums_of<B/2>(x);
    } else {
        return x[0];
    }
}

// x[i][c] = the products of query i and cell c, still to be summed over the register; for `n` of a register's cells.
template <class T, int N> GGML_FA_NOINLINE static void few_products(
        const query * queries, int64_t dk, const char * keys, size_t row_stride, const int32_t * cells, int n, floats (* x)[LANES]) {
    for (int c = 0; c < n; ++c) {
        const T * k = (const T *) (keys + cells[c]*row_stride);
        floats sums[N] = {};
        for (int64_t d = 0; d < dk; d += LANES) {
            const floats key = as_floats(k + d);
            for (int i = 0; i < N; ++i) {
                sums[i] += load(queries[i].q + d)*key;
            }
        }
        for (int i = 0; i < N; ++i) {
            x[i][c] = sums[i];
        }
    }
}

template <class T> inline void few_products(
        const query * queries, int n_queries, int64_t dk, const char * keys, size_t row_stride, const int32_t * cells, int n,
        floats (* x)[LANES]) {
    switch (n_queries) {
        case 4: few_products<T, 4>(queries, dk, keys, row_stride, cells, n, x); break;
        case 3: few_products<T, 3>(queries, dk, keys, row_stride, cells, n, x); break;
        case 2: few_products<T, 2>(queries, dk, keys, row_stride, cells, n, x); break;
        case 1: few_products<T, 1>(queries, dk, keys, row_stride, cells, n, x); break;
    }
}

inline void products(const float * q, int64_t dk, const float * k, floats * x) {
    floats sums[LANES] = {};
    for (int64_t d = 0; d < dk; d += LANES) {
        const floats query = load(q + d);
        for (int c = 0; c < LANES; ++c) {
            sums[c] += query*load(k + c*dk + d);
        }
    }
    for (int c = 0; c < LANES; ++c) {
        x[c] = sums[c];
    }
}

// What a row's mask adds to the scores of a register of cells; false: nothing.
inline bool mask_of(const query & query, bool plain, const int32_t * cells, int n, float * added) {
    if (n == LANES && (!query.mask || (plain && cells[n - 1] < query.hidden))) {
        return false;
    }
    for (int c = 0; c < LANES; ++c) {
        added[c] = c >= n ? -INFINITY : query.mask ? GGML_CPU_FP16_TO_FP32(query.mask[cells[c]]) : 0.0f;
    }
    return true;
}

// Scores of `n_queries` queries with the cells [begin, end) of a list; query i's go to scores + i*stride, padded with -inf to whole registers.
GGML_FA_NOINLINE static void compute_scores(
        const op & o, scratch & s, const char * keys, const int32_t * cells, int64_t begin, int64_t end, bool plain,
        const query * queries, int n_queries, float * scores, int64_t stride) {
    const int64_t dk = o.dk;
    const bool few = n_queries <= FEW && direct(o.k->type);
    floats x[FEW][LANES] = {};
    s.k.resize(LANES*dk);
    float * k = s.k.data();
    const size_t row_stride = o.k->nb[1];
    const size_t bytes = ggml_row_size(o.k->type, dk);
    prefetch(keys, row_stride, cells, begin, std::min<int64_t>(begin + LANES, end), bytes);
    for (int64_t c0 = begin; c0 < end; c0 += LANES) {
        const int n = (int) std::min<int64_t>(LANES, end - c0);
        prefetch(keys, row_stride, cells, c0 + n, std::min<int64_t>(c0 + n + LANES, end), bytes);
        if (few && o.k->type == GGML_TYPE_F32) {
            few_products<float>(queries, n_queries, dk, keys, row_stride, cells + c0, n, x);
#if defined(GGML_FA_HALVES)
        } else if (few) {
            few_products<ggml_fp16_t>(queries, n_queries, dk, keys, row_stride, cells + c0, n, x);
#endif
        } else {
            for (int c = 0; c < n; ++c) {
                to_floats(o.k->type, keys + cells[c0 + c]*row_stride, k + c*dk, dk);
            }
            memset(k + n*dk, 0, (LANES - n)*dk*sizeof(float));
        }
        const ggml_fp16_t * of = nullptr;
        float added[LANES];
        bool  adds = false;
        for (int i = 0; i < n_queries; ++i) {
            const query & query = queries[i];
            if (!few) {
                products(query.q, dk, k, x[0]);
            }
            floats score = sums_of<LANES>(x[few ? i : 0])*o.scale;
            if (o.softcap != 0.0f) {
                for (int c = 0; c < LANES; ++c) {
                    score[c] = o.softcap*tanhf(score[c]);
                }
            }
            if (query.mask != of || i == 0) { // the heads of a row share its mask
                of   = query.mask;
                adds = mask_of(query, plain, cells + c0, n, added);
            }
            if (adds) {
                const floats biases = load(added)*query.slope;
                score = score + biases;
            }
            store(scores + i*stride + (c0 - begin), score);
        }
    }
}

// exp(score - greatest) in place, for a multiple of LANES; returns one over their sum, the sink's part in it, and 0 where nothing is seen.
GGML_FA_NOINLINE static double compute_weights(float * scores, int64_t n, const float * sink) {
    float greatest = sink ? *sink : -INFINITY;
    if (n == 0) {
        return 0.0;
    }
    floats most = load(scores);
    for (int64_t i = LANES; i < n; i += LANES) {
        const floats more = load(scores + i);
        most = most > more ? most : more;
    }
    for (int i = 0; i < LANES; ++i) {
        greatest = std::max(greatest, most[i]);
    }
    if (greatest == -INFINITY) {
        memset(scores, 0, n*sizeof(float));
        return 0.0;
    }
    ggml_vec_soft_max_f32((int) n, scores, scores, greatest);
    doubles sums = {};
    for (int64_t i = 0; i < n; i += HALF) {
        sums += as_doubles(scores + i);
    }
    double sum = sink ? (double) expf(*sink - greatest) : 0.0;
    for (int i = 0; i < HALF; ++i) {
        sum += sums[i];
    }
    return sum > 0.0 ? 1.0/sum : 0.0;
}

// Where the values of some cells stand: converted, or in the pool.
struct converted {
    const double * v;
    int64_t        stride;

    doubles at(int64_t c, int64_t d) const { return load(v + c*stride + d); }
};

template <class T> struct pooled {
    const char *    v;
    size_t          stride;
    const int32_t * cells;

    doubles at(int64_t c, int64_t d) const { return as_doubles((const T *) (v + cells[c]*stride) + d); }
};

// y[i][d] += sum over n cells of w[i][c]*v[c][d], for N queries and M registers of dimensions from d on.
template <int N, int M, class V> inline void mix(double * y, int64_t dims, const double * w, int64_t w_stride, V v, int64_t d, int64_t n) {
    doubles x[N][M];
    for (int i = 0; i < N; ++i) {
        for (int m = 0; m < M; ++m) {
            x[i][m] = load(y + i*dims + d + m*HALF);
        }
    }
    for (int64_t c = 0; c < n; ++c) {
        doubles row[M];
        for (int m = 0; m < M; ++m) {
            row[m] = v.at(c, d + m*HALF);
        }
        for (int i = 0; i < N; ++i) {
            for (int m = 0; m < M; ++m) {
                x[i][m] += w[i*w_stride + c]*row[m];
            }
        }
    }
    for (int i = 0; i < N; ++i) {
        for (int m = 0; m < M; ++m) {
            store(y + i*dims + d + m*HALF, x[i][m]);
        }
    }
}

template <int N, class V> GGML_FA_NOINLINE static void mix_rows(
        double * y, int64_t dims, const double * w, int64_t w_stride, V v, int64_t n) {
    constexpr int M = LANES == 16 ? 4 : 2;
    int64_t d = 0;
    for (; d + M*HALF <= dims; d += M*HALF) {
        mix<N, M>(y, dims, w, w_stride, v, d, n);
    }
    for (; d < dims; d += 2*HALF) {
        mix<N, 2>(y, dims, w, w_stride, v, d, n);
    }
}

template <class V> inline void mix_all(double * y, int64_t dims, const double * w, int64_t w_stride, V v, int64_t n, int n_queries) {
    for (; n_queries > 4; n_queries -= 4, y += 4*dims, w += 4*w_stride) {
        mix_rows<4>(y, dims, w, w_stride, v, n);
    }
    switch (n_queries) {
        case 4: mix_rows<4>(y, dims, w, w_stride, v, n); break;
        case 3: mix_rows<3>(y, dims, w, w_stride, v, n); break;
        case 2: mix_rows<2>(y, dims, w, w_stride, v, n); break;
        case 1: mix_rows<1>(y, dims, w, w_stride, v, n); break;
    }
}

// sums[i][d] = the values' dimensions [dim, dim + dims), weighted: query i's weights stand at weights + i*stride, padded to whole registers.
GGML_FA_NOINLINE static void compute_sums(
        const op & o, scratch & s, const char * values, const int32_t * cells, int64_t n_cells, int64_t dim, int64_t dims,
        const float * weights, int64_t stride, int n_queries) {
    const ggml_type type = o.v->type;
    const bool   few   = n_queries <= FEW && direct(type);
    const size_t bytes = ggml_row_size(type, dims);
    const size_t v_stride = o.v->nb[1];
    const int64_t step = few ? FEW_CELLS : V_CELLS;
    values += dim/ggml_blck_size(type)*ggml_type_size(type);
    s.v.resize(dims);
    s.wide_v.resize(V_CELLS*dims);
    s.weights.resize(n_queries*step);
    s.sums.assign(n_queries*dims, 0.0);
    double * w = s.weights.data();
    prefetch(values, v_stride, cells, 0, std::min<int64_t>(step, n_cells), bytes);
    for (int64_t c0 = 0; c0 < n_cells; c0 += step) {
        const int64_t n = std::min<int64_t>(step, n_cells - c0);
        prefetch(values, v_stride, cells, c0 + n, std::min<int64_t>(c0 + n + step, n_cells), bytes);
        for (int i = 0; i < n_queries; ++i) {
            for (int64_t c = 0; c < n; c += HALF) {
                store(w + i*step + c, as_doubles(weights + i*stride + c0 + c));
            }
        }
        if (few && type == GGML_TYPE_F32) {
            mix_all(s.sums.data(), dims, w, step, pooled<float>{values, v_stride, cells + c0}, n, n_queries);
#if defined(GGML_FA_HALVES)
        } else if (few) {
            mix_all(s.sums.data(), dims, w, step, pooled<ggml_fp16_t>{values, v_stride, cells + c0}, n, n_queries);
#endif
        } else {
            for (int64_t c = 0; c < n; ++c) {
                to_floats(type, values + cells[c0 + c]*v_stride, s.v.data(), dims);
                for (int64_t d = 0; d < dims; d += HALF) {
                    store(s.wide_v.data() + c*dims + d, as_doubles(s.v.data() + d));
                }
            }
            mix_all(s.sums.data(), dims, w, step, converted{s.wide_v.data(), dims}, n, n_queries);
        }
    }
}

GGML_FA_NOINLINE static void write_result(float * to, const double * sums, int64_t n, double inverse) {
    for (int64_t d = 0; d < n; ++d) {
        to[d] = (float) (sums[d]*inverse);
    }
}

inline const float * sink_of(const op & o, int64_t head) { return o.sinks ? (const float *) o.sinks->data + head : nullptr; }

// Rows [row0, row1), which see the cells in s.cells and no others, and the heads that share one K and V.
static void attend(const op & o, scratch & s, int64_t row0, int64_t row1, const sight * sights, int64_t kv_head, int64_t i3) {
    const int64_t n_cells = s.cells.size();
    const int64_t stride  = op::stride(n_cells);
    for (int64_t head0 = kv_head*o.group; head0 < (kv_head + 1)*o.group; head0 += QUERIES) {
        const int64_t head1 = std::min(head0 + QUERIES, (kv_head + 1)*o.group);
        s.queries.clear();
        for (int64_t row = row0; row < row1; ++row) {
            const int32_t hidden = sights[row - row0].first_hidden(s.all);
            for (int64_t head = head0; head < head1; ++head) {
                s.queries.push_back({o.query(row, head, i3), o.masks(row, i3), hidden, o.slope(head)});
            }
        }
        const int n_queries = (int) s.queries.size();
        s.scores.resize(n_queries*stride);
        s.inverse.resize(n_queries);
        compute_scores(o, s, o.key(kv_head, i3), s.cells.data(), 0, n_cells, s.all.plain, s.queries.data(), n_queries, s.scores.data(), stride);
        for (int i = 0; i < n_queries; ++i) {
            s.inverse[i] = compute_weights(s.scores.data() + i*stride, stride, sink_of(o, head0 + i%(head1 - head0)));
        }
        compute_sums(o, s, o.value(kv_head, i3), s.cells.data(), n_cells, 0, o.dv, s.scores.data(), stride, n_queries);
        for (int i = 0; i < n_queries; ++i) {
            float * to = o.result(row0 + i/(head1 - head0), head0 + i%(head1 - head0), i3);
            write_result(to, s.sums.data() + i*o.dv, o.dv, s.inverse[i]);
        }
    }
}

// Whether two kinds of sight are computed together: where that is little more work than apart.
inline bool alike(const sight & all, int64_t rows, int64_t apart, const sight & next) {
    return 2*all.with(next)*(rows + 1) <= 3*(apart + next.count);
}

// A block of rows, in runs that see nearly the same.
static void attend_block(const op & o, scratch & s, int64_t row0, int64_t row1, int64_t kv_head, int64_t i3) {
    if ((int64_t) s.sights.size() < row1 - row0) {
        s.sights.resize(row1 - row0);
    }
    for (int64_t row = row0; row < row1; ++row) {
        s.sights[row - row0].look(o.masks(row, i3), o.cells);
    }
    for (int64_t begin = row0; begin < row1; ) {
        s.all = s.sights[begin - row0];
        int64_t apart = s.all.count;
        int64_t end   = begin + 1;
        while (end < row1 && (end + 1 - begin)*o.group*s.all.count <= SCORES && alike(s.all, end - begin, apart, s.sights[end - row0])) {
            s.all.add(s.sights[end - row0]);
            apart += s.sights[end - row0].count;
            ++end;
        }
        s.all.list(s.cells);
        attend(o, s, begin, end, s.sights.data() + (begin - row0), kv_head, i3);
        begin = end;
    }
}

// Few rows: the threads share out cells, then heads, then dimensions, so no sum is ever split.
static void attend_few(const ggml_compute_params * params, const op & o, scratch & s) {
    const int64_t n_rows = o.rows*o.q->ne[3];
    const int64_t stride = op::stride(o.cells);
    const int     ith = params->ith, nth = params->nth;
    float *  scores  = (float *) params->wdata;                          // [row][head][stride]
    double * inverse = (double *) (scores + n_rows*o.heads*stride);      // [row][head]
    std::vector<std::vector<int32_t>> lists(n_rows);
    std::vector<bool> plain(n_rows);
    for (int64_t r = 0; r < n_rows; ++r) {
        s.all.look(o.masks(r%o.rows, r/o.rows), o.cells);
        s.all.list(lists[r]);
        plain[r] = s.all.plain;
    }
    for (int64_t r = 0; r < n_rows; ++r) {
        const int64_t n_cells = lists[r].size();
        const int64_t tiles   = (n_cells + LANES - 1)/LANES;
        const int64_t begin   = tiles*ith/nth*LANES;
        const int64_t end     = std::min(tiles*(ith + 1)/nth*LANES, n_cells);
        if (begin >= end) {
            continue;
        }
        for (int64_t kv_head = 0; kv_head < o.kv_heads; ++kv_head) {
            s.queries.clear();
            for (int64_t head = kv_head*o.group; head < (kv_head + 1)*o.group; ++head) {
                s.queries.push_back({o.query(r%o.rows, head, r/o.rows), o.masks(r%o.rows, r/o.rows), INT32_MAX, o.slope(head)});
            }
            compute_scores(o, s, o.key(kv_head, r/o.rows), lists[r].data(), begin, end, plain[r], s.queries.data(), (int) o.group,
                scores + (r*o.heads + kv_head*o.group)*stride + begin, stride);
        }
    }
    ggml_barrier(params->threadpool);
    for (int64_t i = ith; i < n_rows*o.heads; i += nth) {
        inverse[i] = compute_weights(scores + i*stride, op::stride(lists[i/o.heads].size()), sink_of(o, i%o.heads));
    }
    ggml_barrier(params->threadpool);
    const int64_t dims  = o.dv % 32 == 0 ? 32 : o.dv;
    const int64_t parts = o.dv/dims;
    for (int64_t i = ith; i < n_rows*o.kv_heads*parts; i += nth) {
        const int64_t r = i/(o.kv_heads*parts), kv_head = i/parts%o.kv_heads, dim = i%parts*dims;
        const int64_t at = r*o.heads + kv_head*o.group;
        compute_sums(o, s, o.value(kv_head, r/o.rows), lists[r].data(), lists[r].size(), dim, dims, scores + at*stride, stride, (int) o.group);
        for (int64_t h = 0; h < o.group; ++h) {
            write_result(o.result(r%o.rows, kv_head*o.group + h, r/o.rows) + dim, s.sums.data() + h*dims, dims, inverse[at + h]);
        }
    }
}

static bool compute(const ggml_compute_params * params, ggml_tensor * dst) {
    const op o(dst);
    if (params->use_ref || !o.fits()) {
        return false;
    }
    static thread_local scratch s;
    const int64_t row_heads = o.rows*o.kv_heads*o.q->ne[3];
    if (o.few(row_heads, params->nth)) {
        attend_few(params, o, s);
        return true;
    }
    // Blocks of rows are as large as leaves each thread some.
    const int64_t most  = std::max<int64_t>(1, QUERIES/o.group);
    const int64_t size  = std::max<int64_t>(1, std::min(most, row_heads/(4*params->nth)));
    const int64_t each  = (o.rows + size - 1)/size;
    const int64_t items = each*o.kv_heads*o.q->ne[3];
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t item = params->ith; item < items; item = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t kv_head = item%o.kv_heads, block = item/o.kv_heads%each, i3 = item/(o.kv_heads*each);
        attend_block(o, s, block*size, std::min((block + 1)*size, o.rows), kv_head, i3);
    }
    return true;
}

} // namespace ggml_fa_rows
#endif
