/* What stands between the products of matrices, each in one pass over memory, for decoding and for training on CPUs.

   PyTorch takes several passes for each of them, and reads keys and values by products of a single row. Numbers are
   float or bfloat16, sums float, of shares double. Shapes are those of attention.py; `from` and `to` say which rows are
   worked on. */
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef VERSIONS /* for wide and narrower processors, chosen when the library is loaded */
#define EXPORT __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EXPORT
#endif
#define INLINE static inline __attribute__((always_inline))
#define WIDEST 256   /* numbers of a head */
#define LONGEST 2048 /* positions */
#define LINE 64      /* bytes that memory gives at once */
#define GROUP 64     /* shares of tokens that are summed on the way to one of them */

typedef uint16_t bfloat16;

INLINE float widen_float(float x) { return x; }
INLINE float narrow_float(float x) { return x; }

INLINE float widen_bfloat16(bfloat16 x) {
  uint32_t bits = (uint32_t)x << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

INLINE bfloat16 narrow_bfloat16(float x) { /* to the nearest, ties to even */
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bfloat16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Whatever the compiler is told of numbers, it knows nothing of bits. */
INLINE int is_nan(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7fffffff) > 0x7f800000;
}

/* e^x with a relative error below 4e-6: 2^n times the Taylor-like polynomial of Cephes on |r| <= ln 2 / 2. The library's
   function is called number by number; this one is inlined into loops that the compiler makes wide. */
INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
  int32_t n = (int32_t)(x * 1.44269504f + (x < 0 ? -0.5f : 0.5f));
  float r = x - (float)n * 0.693359375f + (float)n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  int32_t bits = (n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return p * power;
}

/* Turn one head by the rotary angles. */
#define TURN(T)                                                                                                        \
  INLINE void turn_##T(const T *restrict head, const float *restrict cosine, const float *restrict sine, float scale,  \
                       ptrdiff_t width, float *restrict turned) {                                                      \
    const ptrdiff_t middle = width / 2;                                                                                \
    for (ptrdiff_t i = 0; i < middle; i++) {                                                                           \
      float a = widen_##T(head[i]), b = widen_##T(head[middle + i]);                                                   \
      turned[i] = (a * cosine[i] - b * sine[i]) * scale;                                                               \
      turned[middle + i] = (b * cosine[i] + a * sine[i]) * scale;                                                      \
    }                                                                                                                  \
  }

/* Ask for `n` numbers that stand in memory from `at` on, as far as the second cache: the first has no room for more. */
#define FETCH(T)                                                                                                       \
  INLINE void fetch_##T(const T *at, ptrdiff_t n) {                                                                    \
    for (ptrdiff_t i = 0; i < n; i += LINE / (ptrdiff_t)sizeof(T)) __builtin_prefetch(at + i, 0, 2);                   \
  }

/* Products of a query with `known` keys; four at a time, for one alone leaves the processor waiting for its sum.
   Meanwhile the keys that stand `onward` are asked for, whose turn is next: memory and arithmetic work side by side. */
#define SCORES(T)                                                                                                      \
  INLINE void scores_##T(const float *restrict query, const T *restrict keys, ptrdiff_t known, ptrdiff_t width,        \
                         ptrdiff_t onward, float *restrict scores) {                                                   \
    ptrdiff_t p = 0;                                                                                                   \
    for (; p + 4 <= known; p += 4) {                                                                                   \
      const T *at = keys + p * width;                                                                                  \
      float first = 0, second = 0, third = 0, fourth = 0;                                                              \
      fetch_##T(at + onward, 4 * width);                                                                               \
      for (ptrdiff_t i = 0; i < width; i++) {                                                                          \
        first += query[i] * widen_##T(at[i]);                                                                          \
        second += query[i] * widen_##T(at[width + i]);                                                                 \
        third += query[i] * widen_##T(at[2 * width + i]);                                                              \
        fourth += query[i] * widen_##T(at[3 * width + i]);                                                             \
      }                                                                                                                \
      scores[p] = first, scores[p + 1] = second, scores[p + 2] = third, scores[p + 3] = fourth;                        \
    }                                                                                                                  \
    for (; p < known; p++) {                                                                                           \
      float sum = 0;                                                                                                   \
      fetch_##T(keys + p * width + onward, width);                                                                     \
      for (ptrdiff_t i = 0; i < width; i++) sum += query[i] * widen_##T(keys[p * width + i]);                          \
      scores[p] = sum;                                                                                                 \
    }                                                                                                                  \
  }

/* Add `known` values by their shares to `mixed`; those `onward` are asked for. */
#define MIX(T)                                                                                                         \
  INLINE void mix_##T(const float *restrict shares, const T *restrict values, ptrdiff_t known, ptrdiff_t width,        \
                      ptrdiff_t onward, float *restrict mixed) {                                                       \
    ptrdiff_t p = 0;                                                                                                   \
    for (; p + 4 <= known; p += 4) {                                                                                   \
      const T *at = values + p * width;                                                                                \
      const float first = shares[p], second = shares[p + 1], third = shares[p + 2], fourth = shares[p + 3];            \
      fetch_##T(at + onward, 4 * width);                                                                               \
      for (ptrdiff_t i = 0; i < width; i++)                                                                            \
        mixed[i] += first * widen_##T(at[i]) + second * widen_##T(at[width + i]) +                                     \
                    third * widen_##T(at[2 * width + i]) + fourth * widen_##T(at[3 * width + i]);                      \
    }                                                                                                                  \
    for (; p < known; p++) {                                                                                           \
      fetch_##T(values + p * width + onward, width);                                                                   \
      for (ptrdiff_t i = 0; i < width; i++) mixed[i] += shares[p] * widen_##T(values[p * width + i]);                  \
    }                                                                                                                  \
  }

/* Turn the queries and keys of `qkv` (rows, heads + 2 kv_heads, width) by the rotary angles (`turn` apart from row to
   row), store key and value at position `length` of the cache, and write what each query takes of all positions to
   `out` (rows, heads, width). `keys` and `values` point to the blocks of this layer, (places, kv_heads, size, width), in
   which each row has its place. What stands `onward` of a head is the next one; of the last one, itself. */
#define ATTEND(T)                                                                                                      \
  INLINE void attend_by_##T(const T *qkv, const float *cosine, const float *sine, ptrdiff_t turn,                      \
                            const int64_t *places, T *const *keys, T *const *values, ptrdiff_t from, ptrdiff_t to,     \
                            ptrdiff_t heads, ptrdiff_t kv_heads, ptrdiff_t width, ptrdiff_t size, ptrdiff_t length,    \
                            T *out) {                                                                                  \
    const ptrdiff_t group = heads / kv_heads, last = length / size, filled = length % size, apart = size * width;      \
    const float scale = 1.0f / sqrtf((float)width);                                                                    \
    float turned[WIDEST], mixed[WIDEST], shares[LONGEST];                                                              \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const T *own = qkv + row * (heads + 2 * kv_heads) * width;                                                       \
      const float *c = cosine + row * turn, *s = sine + row * turn;                                                    \
      for (ptrdiff_t h = 0; h < kv_heads; h++) {                                                                       \
        const ptrdiff_t start = (places[row] * kv_heads + h) * apart, now = start + filled * width;                    \
        const ptrdiff_t later = row + 1 < to ? places[row + 1] * kv_heads * apart - start : 0;                         \
        const ptrdiff_t onward = h + 1 < kv_heads ? apart : later;                                                     \
        const T *key = own + (heads + h) * width;                                                                      \
        turn_##T(key, c, s, 1.0f, width, turned);                                                                      \
        for (ptrdiff_t i = 0; i < width; i++) keys[last][now + i] = narrow_##T(turned[i]);                             \
        memcpy(values[last] + now, key + kv_heads * width, (size_t)width * sizeof(T));                                 \
        for (ptrdiff_t g = h * group; g < (h + 1) * group; g++) {                                                      \
          turn_##T(own + g * width, c, s, scale, width, turned);                                                       \
          for (ptrdiff_t block = 0; block <= last; block++)                                                            \
            scores_##T(turned, keys[block] + start, block < last ? size : filled + 1, width, onward,                   \
                       shares + block * size);                                                                         \
          float top = shares[0], total = 0;                                                                            \
          for (ptrdiff_t p = 1; p <= length; p++) top = shares[p] > top ? shares[p] : top;                             \
          for (ptrdiff_t p = 0; p <= length; p++) {                                                                    \
            shares[p] = exponential(shares[p] - top);                                                                  \
            total += shares[p];                                                                                        \
          }                                                                                                            \
          for (ptrdiff_t i = 0; i < width; i++) mixed[i] = 0;                                                          \
          for (ptrdiff_t block = 0; block <= last; block++)                                                            \
            mix_##T(shares + block * size, values[block] + start, block < last ? size : filled + 1, width, onward,     \
                    mixed);                                                                                            \
          for (ptrdiff_t i = 0; i < width; i++) out[(row * heads + g) * width + i] = narrow_##T(mixed[i] / total);     \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  INLINE void attend_rows_##T(const T *qkv, const float *cosine, const float *sine, ptrdiff_t turn,                    \
                              const int64_t *places, T *const *keys, T *const *values, ptrdiff_t from, ptrdiff_t to,   \
                              ptrdiff_t heads, ptrdiff_t kv_heads, ptrdiff_t width, ptrdiff_t size, ptrdiff_t length,  \
                              T *out) {                                                                                \
    if (width == 64) /* a number that the compiler knows */                                                            \
      attend_by_##T(qkv, cosine, sine, turn, places, keys, values, from, to, heads, kv_heads, 64, size, length, out);  \
    else                                                                                                               \
      attend_by_##T(qkv, cosine, sine, turn, places, keys, values, from, to, heads, kv_heads, width, size, length, out);\
  }

/* Add `more` to `x`, both (rows, width), and write RMSNorm(x) * weight to `out`. */
#define ADD_NORM(T)                                                                                                    \
  INLINE void add_norm_rows_##T(float *restrict x, const T *restrict more, const float *restrict weight, float eps,    \
                           ptrdiff_t from, ptrdiff_t to, ptrdiff_t width, T *restrict out) {                           \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      float *own = x + row * width, total = 0;                                                                         \
      for (ptrdiff_t i = 0; i < width; i++) {                                                                          \
        own[i] += widen_##T(more[row * width + i]);                                                                    \
        total += own[i] * own[i];                                                                                      \
      }                                                                                                                \
      const float scale = 1.0f / sqrtf(total / (float)width + eps);                                                    \
      for (ptrdiff_t i = 0; i < width; i++) out[row * width + i] = narrow_##T(own[i] * scale * weight[i]);             \
    }                                                                                                                  \
  }

/* SwiGLU: gates and values side by side in `up`, (rows, 2 width), to `out`, (rows, width). */
#define SWIGLU(T)                                                                                                      \
  INLINE void swiglu_rows_##T(const T *restrict up, ptrdiff_t from, ptrdiff_t to, ptrdiff_t width, T *restrict out) {  \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const T *gates = up + 2 * row * width, *values = gates + width;                                                  \
      for (ptrdiff_t i = 0; i < width; i++) {                                                                          \
        float gate = widen_##T(gates[i]);                                                                              \
        out[row * width + i] = narrow_##T(gate / (1.0f + exponential(-gate)) * widen_##T(values[i]));                  \
      }                                                                                                                \
    }                                                                                                                  \
  }

/* RMSNorm(x) * weight of `x` (rows, width) to `out`; one over the root of each row's mean square to `inverse`. */
#define NORM(T)                                                                                                        \
  INLINE void norm_rows_##T(const float *restrict x, const float *restrict weight, float eps, ptrdiff_t from, ptrdiff_t to,\
                       ptrdiff_t width, float *restrict inverse, T *restrict out) {                                    \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const float *own = x + row * width;                                                                              \
      float total = 0;                                                                                                 \
      for (ptrdiff_t i = 0; i < width; i++) total += own[i] * own[i];                                                  \
      const float scale = inverse[row] = 1.0f / sqrtf(total / (float)width + eps);                                     \
      for (ptrdiff_t i = 0; i < width; i++) out[row * width + i] = narrow_##T(own[i] * scale * weight[i]);             \
    }                                                                                                                  \
  }

/* The gradients of `norm`: of x, and of the weight, row by row of `parts` (threads, width), which the caller adds up.
   `part` is the row of this thread. */
#define NORM_BACKWARD(T)                                                                                               \
  INLINE void norm_backward_rows_##T(const T *restrict grad, const float *restrict x, const float *restrict weight,    \
                                const float *restrict inverse, ptrdiff_t from, ptrdiff_t to, ptrdiff_t width,          \
                                float *restrict grad_x, float *restrict parts, ptrdiff_t part) {                       \
    float *of_weight = parts + part * width;                                                                           \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const T *g = grad + row * width;                                                                                 \
      const float *own = x + row * width, scale = inverse[row];                                                        \
      float along = 0;                                                                                                 \
      for (ptrdiff_t i = 0; i < width; i++) along += widen_##T(g[i]) * weight[i] * own[i];                             \
      along *= scale * scale * scale / (float)width;                                                                   \
      for (ptrdiff_t i = 0; i < width; i++) {                                                                          \
        grad_x[row * width + i] = widen_##T(g[i]) * weight[i] * scale - own[i] * along;                                \
        of_weight[i] += widen_##T(g[i]) * own[i] * scale;                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }

/* The gradient of `swiglu` at `up`, (rows, 2 width), from that of its result, (rows, width). */
#define SWIGLU_BACKWARD(T)                                                                                             \
  INLINE void swiglu_backward_rows_##T(const T *restrict grad, const T *restrict up, ptrdiff_t from, ptrdiff_t to,     \
                                  ptrdiff_t width, T *restrict grad_up) {                                              \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const T *gates = up + 2 * row * width, *values = gates + width;                                                  \
      T *of_gates = grad_up + 2 * row * width, *of_values = of_gates + width;                                          \
      for (ptrdiff_t i = 0; i < width; i++) {                                                                          \
        float gate = widen_##T(gates[i]), g = widen_##T(grad[row * width + i]);                                        \
        float open = 1.0f / (1.0f + exponential(-gate));                                                               \
        of_values[i] = narrow_##T(g * gate * open);                                                                    \
        of_gates[i] = narrow_##T(g * widen_##T(values[i]) * open * (1.0f + gate * (1.0f - open)));                     \
      }                                                                                                                \
    }                                                                                                                  \
  }

/* From `in` (rows, tokens, `apart` heads, width), queries, keys or values among others, to `out` (rows, heads, tokens,
   width), turned by the rotary angles (`turn` apart from row to row) where `turned`. `back` is the way back, of
   gradients, which turns the other way. */
#define HEADS(T)                                                                                                       \
  INLINE void heads_rows_##T(const T *restrict in, const float *restrict cosine, const float *restrict sine,           \
                             ptrdiff_t turn, ptrdiff_t from, ptrdiff_t to, ptrdiff_t tokens, ptrdiff_t turned,         \
                             ptrdiff_t heads, ptrdiff_t apart, ptrdiff_t width, ptrdiff_t back, T *restrict out) {     \
    const ptrdiff_t middle = width / 2;                                                                                \
    const float sign = back ? -1.0f : 1.0f;                                                                            \
    for (ptrdiff_t row = from; row < to; row++)                                                                        \
      for (ptrdiff_t h = 0; h < heads; h++)                                                                            \
        for (ptrdiff_t t = 0; t < tokens; t++) {                                                                       \
          const ptrdiff_t among = ((row * tokens + t) * apart + h) * width;                                            \
          const ptrdiff_t alone = ((row * heads + h) * tokens + t) * width;                                            \
          const T *own = in + (back ? alone : among);                                                                  \
          T *other = out + (back ? among : alone);                                                                     \
          const float *c = cosine + row * turn + t * middle, *s = sine + row * turn + t * middle;                      \
          if (!turned) {                                                                                               \
            memcpy(other, own, (size_t)width * sizeof(T));                                                             \
            continue;                                                                                                  \
          }                                                                                                            \
          for (ptrdiff_t i = 0; i < middle; i++) {                                                                     \
            float first = widen_##T(own[i]), second = widen_##T(own[middle + i]), across = sign * s[i];                \
            other[i] = narrow_##T(first * c[i] - second * across);                                                     \
            other[middle + i] = narrow_##T(second * c[i] + first * across);                                            \
          }                                                                                                            \
        }                                                                                                              \
  }

/* 32 random bits of a place and two words of a seed: the finaliser of MurmurHash3, with constants of lower bias found by
   C. Wellons. A place is hashed anew on the way back, so that no mask is kept. */
INLINE uint32_t bits_of(uint32_t place, uint32_t seed, uint32_t other) {
  uint32_t bits = place + seed;
  bits = (bits ^ bits >> 16) * 0x7feb352du;
  bits ^= other;
  bits = (bits ^ bits >> 15) * 0x846ca68bu;
  return bits ^ bits >> 16;
}

/* The share of 65,536 that is dropped decides on two entries of a row, by half of the bits each: `KEEP` sees one. */
#define DROPOUT(WIDTH, KEEP)                                                                                           \
  for (ptrdiff_t row = from; row < to; row++) {                                                                        \
    const ptrdiff_t half = (WIDTH) / 2, start = row * (WIDTH);                                                         \
    const uint32_t place = (uint32_t)(row * (half + 1));                                                             \
    for (ptrdiff_t i = 0; i < half; i++) {                                                                             \
      const uint32_t bits = bits_of(place + (uint32_t)i, seed, other);                                                 \
      KEEP(start + i, (float)((bits & 0xffff) >= limit) * scale)                                                       \
      KEEP(start + half + i, (float)((bits >> 16) >= limit) * scale)                                                   \
    }                                                                                                                  \
    if ((WIDTH) % 2) {                                                                                                 \
      const uint32_t bits = bits_of(place + (uint32_t)half, seed, other);                                              \
      KEEP(start + 2 * half, (float)((bits & 0xffff) >= limit) * scale)                                                \
    }                                                                                                                  \
  }

/* `x` and what is left of `branch`, both (rows, width), when `limit` of 65,536 entries are dropped, to `out`. */
#define ADD_DROPPED(T)                                                                                                 \
  INLINE void add_dropped_rows_##T(const float *restrict x, const T *restrict branch, uint32_t seed, uint32_t other,   \
                                   uint32_t limit, ptrdiff_t from, ptrdiff_t to, ptrdiff_t width,                      \
                                   float *restrict out) {                                                              \
    const float scale = 65536.0f / (float)(65536 - limit);                                                             \
    DROPOUT(width, ADDED_##T)                                                                                          \
  }
#define ADDED_float(AT, SHARE) out[AT] = x[AT] + branch[AT] * (SHARE);
#define ADDED_bfloat16(AT, SHARE) out[AT] = x[AT] + widen_bfloat16(branch[AT]) * (SHARE);

/* The gradient of `add_dropped` at `branch`. */
#define ADD_DROPPED_BACKWARD(T)                                                                                        \
  INLINE void add_dropped_backward_rows_##T(const float *restrict grad, uint32_t seed, uint32_t other, uint32_t limit, \
                                            ptrdiff_t from, ptrdiff_t to, ptrdiff_t width, T *restrict of_branch) {    \
    const float scale = 65536.0f / (float)(65536 - limit);                                                             \
    DROPOUT(width, PASSED_##T)                                                                                         \
  }
#define PASSED_float(AT, SHARE) of_branch[AT] = grad[AT] * (SHARE);
#define PASSED_bfloat16(AT, SHARE) of_branch[AT] = narrow_bfloat16(grad[AT] * (SHARE));

/* Softmax of `scale` times the scores (rows, tokens, tokens) over the tokens up to one's own; the others get nothing. */
#define CAUSAL(T)                                                                                                      \
  INLINE void causal_rows_##T(const T *restrict scores, float scale, ptrdiff_t from, ptrdiff_t to, ptrdiff_t tokens,   \
                              T *restrict shares) {                                                                    \
    float powers[LONGEST];                                                                                             \
    for (ptrdiff_t row = from * tokens; row < to * tokens; row++) {                                                    \
      const T *own = scores + row * tokens;                                                                            \
      T *out = shares + row * tokens;                                                                                  \
      const ptrdiff_t last = row % tokens, wide = (last | 15) + 1, seen = wide < tokens ? wide : tokens;               \
      float top = widen_##T(own[0]), total = 0;                                                                        \
      for (ptrdiff_t i = 0; i < seen; i++) {                                                                           \
        const float score = i <= last ? widen_##T(own[i]) : top;                                                       \
        top = score > top ? score : top;                                                                               \
      }                                                                                                                \
      for (ptrdiff_t i = 0; i < seen; i++) {                                                                           \
        powers[i] = exponential((widen_##T(own[i]) - top) * scale) * (float)(i <= last);                               \
        total += powers[i];                                                                                            \
      }                                                                                                                \
      for (ptrdiff_t i = 0; i < seen; i++) out[i] = narrow_##T(powers[i] / total);                                     \
      for (ptrdiff_t i = seen; i < tokens; i++) out[i] = narrow_##T(0);                                                \
    }                                                                                                                  \
  }

/* The gradient of `causal` at the scores, from its result and the gradient there. */
#define CAUSAL_BACKWARD(T)                                                                                             \
  INLINE void causal_backward_rows_##T(const T *restrict grad, const T *restrict shares, float scale, ptrdiff_t from,  \
                                       ptrdiff_t to, ptrdiff_t tokens, T *restrict of_scores) {                        \
    for (ptrdiff_t row = from * tokens; row < to * tokens; row++) {                                                    \
      const T *g = grad + row * tokens, *own = shares + row * tokens;                                                  \
      T *out = of_scores + row * tokens;                                                                               \
      float along = 0;                                                                                                 \
      for (ptrdiff_t i = 0; i < tokens; i++) along += widen_##T(g[i]) * widen_##T(own[i]);                             \
      for (ptrdiff_t i = 0; i < tokens; i++)                                                                           \
        out[i] = narrow_##T((widen_##T(g[i]) - along) * widen_##T(own[i]) * scale);                                    \
    }                                                                                                                  \
  }

/* What the token at each of `targets` costs in nats: ln of the sum of e^score over its row of `scores`, (rows, n), which
   is written to `norms`, less its own score; NaN where any score is, or the scores add up to none, which their sum tells
   by its bits, for the compiler is told that there are none. */
#define COST(T)                                                                                                        \
  INLINE void cost_rows_##T(const T *restrict scores, const int64_t *targets, ptrdiff_t from, ptrdiff_t to,            \
                            ptrdiff_t n, float *restrict norms, float *restrict costs) {                               \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const T *own = scores + row * n;                                                                                 \
      float top = widen_##T(own[0]), total = 0, all = 0;                                                               \
      for (ptrdiff_t i = 0; i < n; i++) {                                                                              \
        top = widen_##T(own[i]) > top ? widen_##T(own[i]) : top;                                                       \
        all += widen_##T(own[i]);                                                                                      \
      }                                                                                                                \
      for (ptrdiff_t i = 0; i < n; i++) total += exponential(widen_##T(own[i]) - top);                                 \
      norms[row] = logf(total) + top;                                                                                  \
      costs[row] = norms[row] - widen_##T(own[targets[row]]);                                                          \
      if (is_nan(all)) memcpy(costs + row, &all, sizeof all);                                                          \
    }                                                                                                                  \
  }

/* The gradient of `cost` at the scores, from the norms and the gradient at the costs. */
#define COST_BACKWARD(T)                                                                                               \
  INLINE void cost_backward_rows_##T(const float *restrict grad, const T *restrict scores, const int64_t *targets,     \
                                     const float *restrict norms, ptrdiff_t from, ptrdiff_t to, ptrdiff_t n,           \
                                     T *restrict of_scores) {                                                          \
    for (ptrdiff_t row = from; row < to; row++) {                                                                      \
      const T *own = scores + row * n;                                                                                 \
      T *out = of_scores + row * n;                                                                                    \
      const ptrdiff_t target = targets[row];                                                                           \
      const float share = exponential(widen_##T(own[target]) - norms[row]);                                            \
      for (ptrdiff_t i = 0; i < n; i++) out[i] = narrow_##T(exponential(widen_##T(own[i]) - norms[row]) * grad[row]);  \
      out[target] = narrow_##T((share - 1.0f) * grad[row]);                                                            \
    }                                                                                                                  \
  }

TURN(float)
TURN(bfloat16)
FETCH(float)
FETCH(bfloat16)
SCORES(float)
SCORES(bfloat16)
MIX(float)
MIX(bfloat16)
ATTEND(float)
ATTEND(bfloat16)
ADD_NORM(float)
ADD_NORM(bfloat16)
SWIGLU(float)
SWIGLU(bfloat16)
NORM(float)
NORM(bfloat16)
NORM_BACKWARD(float)
NORM_BACKWARD(bfloat16)
SWIGLU_BACKWARD(float)
SWIGLU_BACKWARD(bfloat16)
HEADS(float)
HEADS(bfloat16)
ADD_DROPPED(float)
ADD_DROPPED(bfloat16)
ADD_DROPPED_BACKWARD(float)
ADD_DROPPED_BACKWARD(bfloat16)
CAUSAL(float)
CAUSAL(bfloat16)
CAUSAL_BACKWARD(float)
CAUSAL_BACKWARD(bfloat16)
COST(float)
COST(bfloat16)
COST_BACKWARD(float)
COST_BACKWARD(bfloat16)

/* Shares of `n` tokens, the greatest 1 and those that are not allowed 0, at a temperature, 1 over which is `inverse`.
   The score of the token `marked` is raised by `raised` before. Returns the greatest score. */
INLINE float weigh(const float *restrict scores, const uint8_t *restrict allowed, ptrdiff_t n, float inverse,
                   ptrdiff_t marked, float raised, float *restrict shares) {
  const int counts = marked >= 0 && marked < n && allowed[marked];
  float top = counts ? scores[marked] + raised : -FLT_MAX;
  for (ptrdiff_t i = 0; i < n; i++) {
    const float score = allowed[i] && i != marked ? scores[i] : -FLT_MAX;
    top = score > top ? score : top;
  }
  for (ptrdiff_t i = 0; i < n; i++) shares[i] = exponential((scores[i] - top) * inverse) * (float)allowed[i];
  if (counts) shares[marked] = exponential((scores[marked] + raised - top) * inverse);
  return top;
}

INLINE double sum(const float *shares, ptrdiff_t n) {
  double total = 0;
  for (ptrdiff_t i = 0; i < n; i++) total += shares[i];
  return total;
}

INLINE double total_of(const float *shares, ptrdiff_t n) {
  double total = 0;
  for (ptrdiff_t i = 0; i < n; i += GROUP) total += sum(shares + i, n - i < GROUP ? n - i : GROUP);
  return total;
}

/* The token at which the sum of the shares passes `uniform` times their total; only one that has a share. */
INLINE ptrdiff_t pick(const float *shares, ptrdiff_t n, double total, double uniform) {
  double below = uniform * total, passed = 0;
  if (below >= total) below = nextafter(total, 0);
  ptrdiff_t start = 0;
  for (; start + GROUP < n; start += GROUP) {
    const double more = sum(shares + start, GROUP);
    if (passed + more > below) break;
    passed += more;
  }
  ptrdiff_t last = start;
  for (ptrdiff_t i = start; i < n && i < start + GROUP && passed <= below; i++)
    if (shares[i] > 0) passed += shares[i], last = i;
  while (last > 0 && !(shares[last] > 0)) last--; /* where sums of groups were rounded apart */
  return last;
}

/* A place less than `size` beside an axis of so many points, on the axis. */
INLINE ptrdiff_t around(ptrdiff_t at, ptrdiff_t size) { return at < 0 ? at + size : at >= size ? at - size : at; }

/* One token of `n` for each row, as choice.py says it. `legal` and `open`, (rows, n) or with `legal_apart` or
   `open_apart` 0 one row for all, say what the grammar and what the request allows. `settings` are ln odds of the token
   `marked` of each row, 1 over the temperature, 1 over that near the place (0: nothing is drawn again), and how much
   finer the second number is. Writes the places, and ln of the sum of exp(score) over the legal tokens. */
INLINE void choose_rows(const float *scores, const uint8_t *legal, ptrdiff_t legal_apart, const uint8_t *open,
                        ptrdiff_t open_apart, const double *uniform, const int64_t *marked, const double *settings,
                        ptrdiff_t from, ptrdiff_t to, ptrdiff_t n, ptrdiff_t first, ptrdiff_t size, ptrdiff_t reach,
                        ptrdiff_t cyclic, float *room, int64_t *places, double *norms) {
  float *shares = room, *near = room + n;
  const float raised = (float)settings[0], inverse = (float)settings[1], again = (float)settings[2];
  for (ptrdiff_t row = from; row < to; row++) {
    const float *own = scores + row * n;
    const uint8_t *allowed = open + row * open_apart;
    float top = weigh(own, legal + row * legal_apart, n, 1.0f, -1, 0.0f, shares);
    norms[row] = log(total_of(shares, n)) + top;
    weigh(own, allowed, n, inverse, marked[row], raised, shares);
    ptrdiff_t place = pick(shares, n, total_of(shares, n), uniform[row]);
    if (again > 0 && place >= first) {
      const double finer = uniform[row] * settings[3];
      float highest = -FLT_MAX;
      for (ptrdiff_t i = -reach; i <= reach; i++) {
        const ptrdiff_t at = place - first + i, turned = first + around(at, size);
        const int there = (cyclic || (at >= 0 && at < size)) && allowed[turned];
        near[i + reach] = there ? own[turned] + (turned == marked[row] ? raised : 0.0f) : -FLT_MAX;
        highest = near[i + reach] > highest ? near[i + reach] : highest;
      }
      for (ptrdiff_t i = 0; i <= 2 * reach; i++)
        near[i] = exponential((near[i] - highest) * again) * (float)(near[i] > -FLT_MAX);
      const ptrdiff_t second = pick(near, 2 * reach + 1, total_of(near, 2 * reach + 1), finer - floor(finer));
      place = first + around(place - first + second - reach, size);
    }
    places[row] = place;
  }
}

/* All loops are called alike: with pointers, integers, and the rows of one part of several. */
typedef void loop(void *const *at, const ptrdiff_t *n, ptrdiff_t from, ptrdiff_t to, ptrdiff_t part);
#define LOOP(NAME, ...)                                                                                                \
  EXPORT void NAME##_float(void *const *at, const ptrdiff_t *n, ptrdiff_t from, ptrdiff_t to, ptrdiff_t part) {        \
    (void)part;                                                                                                        \
    NAME##_rows_float(__VA_ARGS__);                                                                                    \
  }                                                                                                                    \
  EXPORT void NAME##_bfloat16(void *const *at, const ptrdiff_t *n, ptrdiff_t from, ptrdiff_t to, ptrdiff_t part) {     \
    (void)part;                                                                                                        \
    NAME##_rows_bfloat16(__VA_ARGS__);                                                                                 \
  }

LOOP(attend, at[0], at[1], at[2], n[0], at[3], at[4], at[5], from, to, n[1], n[2], n[3], n[4], n[5], at[6])
LOOP(add_norm, at[0], at[1], at[2], *(const float *)at[3], from, to, n[0], at[4])
LOOP(swiglu, at[0], from, to, n[0], at[1])
LOOP(norm, at[0], at[1], *(const float *)at[2], from, to, n[0], at[3], at[4])
LOOP(norm_backward, at[0], at[1], at[2], at[3], from, to, n[0], at[4], at[5], part)
LOOP(swiglu_backward, at[0], at[1], from, to, n[0], at[2])
EXPORT void choose_float(void *const *at, const ptrdiff_t *n, ptrdiff_t from, ptrdiff_t to, ptrdiff_t part) {
  float *room = (float *)at[6] + part * n[7];
  choose_rows(at[0], at[1], n[0], at[2], n[1], at[3], at[4], at[5], from, to, n[2], n[3], n[4], n[5], n[6], room, at[7],
              at[8]);
}

LOOP(add_dropped, at[0], at[1], (uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2], from, to, n[3], at[2])
LOOP(add_dropped_backward, at[0], (uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2], from, to, n[3], at[1])
LOOP(causal, at[0], *(const float *)at[1], from, to, n[0], at[2])
LOOP(causal_backward, at[0], at[1], *(const float *)at[2], from, to, n[0], at[3])
LOOP(cost, at[0], at[1], from, to, n[0], at[2], at[3])
LOOP(cost_backward, at[0], at[1], at[2], at[3], from, to, n[0], at[4])
LOOP(heads, at[0], at[1], at[2], n[0], from, to, n[1], n[2], n[3], n[4], n[5], n[6], at[3])

/* The threads of PyTorch's own OpenMP, if it has one of GNU's kind: others would run beside them, which wait spinning. */
#ifdef __linux__
extern void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned) __attribute__((weak));
extern int omp_get_thread_num(void) __attribute__((weak));
extern int omp_get_num_threads(void) __attribute__((weak));
#define THREADS (GOMP_parallel && omp_get_thread_num && omp_get_num_threads)
#endif

struct work {
  loop *loop;
  void *const *at;
  const ptrdiff_t *n;
  ptrdiff_t rows, parts;
};

static void take(const struct work *work, ptrdiff_t first, ptrdiff_t step) {
  for (ptrdiff_t part = first; part < work->parts; part += step)
    work->loop(work->at, work->n, work->rows * part / work->parts, work->rows * (part + 1) / work->parts, part);
}

#ifdef __linux__
static void take_mine(void *work) { take(work, omp_get_thread_num(), omp_get_num_threads()); }
#endif

/* Run a loop over `rows` rows in `parts` parts, in as many threads where that is possible. */
void share(loop *loop, void *const *at, const ptrdiff_t *n, ptrdiff_t rows, ptrdiff_t parts) {
  struct work work = {loop, at, n, rows, parts};
#ifdef __linux__
  if (parts > 1 && THREADS) {
    GOMP_parallel(take_mine, &work, (unsigned)parts, 0);
    return;
  }
#endif
  take(&work, 0, 1);
}

/* The checksum of this file, by which a library is known that was compiled from another. */
uint32_t source(void) { return SOURCE; }

/* Numbers of a head, and positions, that there is room for. */
int widest(void) { return WIDEST; }
int longest(void) { return LONGEST; }
