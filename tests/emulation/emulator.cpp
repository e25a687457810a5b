// Scheduler of the emulator. Compile WITHOUT -fsanitize=thread (its own state is not the program under test).
#include <cuda_runtime.h>
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <unordered_map>
#include <vector>
#if defined(CUEMU_UCONTEXT)
#include <ucontext.h>
#elif defined(CUEMU_BOOST)
#include <boost/context/detail/fcontext.hpp>
#endif
#if defined(CUEMU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(CUEMU_TSAN)
extern "C" { void* __tsan_get_current_fiber(void); void* __tsan_create_fiber(unsigned); void __tsan_destroy_fiber(void*); void __tsan_switch_to_fiber(void*, unsigned); void __tsan_acquire(void*); void __tsan_release(void*); }
extern "C" { void AnnotateIgnoreWritesBegin(const char*, int); void AnnotateIgnoreWritesEnd(const char*, int); void AnnotateIgnoreReadsBegin(const char*, int); void AnnotateIgnoreReadsEnd(const char*, int); }
// the scheduler's own heap traffic and copies must not look like kernel accesses (ignore counters are per fiber)
struct Quiet { Quiet() { AnnotateIgnoreReadsBegin("", 0); AnnotateIgnoreWritesBegin("", 0); } ~Quiet() { AnnotateIgnoreWritesEnd("", 0); AnnotateIgnoreReadsEnd("", 0); } };
#define TSAN(x) x
#else
struct Quiet { };
#define TSAN(x)
#endif

namespace cuemu {
thread_local Regs* cur = nullptr;
thread_local Coords coords;
Config& config() { static Config c; return c; }
Stats& stats() { static thread_local Stats s{}; return s; }

#if !defined(CUEMU_UCONTEXT) && !defined(CUEMU_BOOST)
extern "C" void cuemu_switch(void** save, void* load);
asm(".text\n.globl cuemu_switch\n.type cuemu_switch,@function\ncuemu_switch:\n"
    " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n.size cuemu_switch,.-cuemu_switch\n");
#endif

struct Fiber {
  char* stack = nullptr; std::size_t bytes = 0;
  Thread* th = nullptr;
#if defined(CUEMU_UCONTEXT)
  ucontext_t ctx;
#elif defined(CUEMU_BOOST)
  boost::context::detail::fcontext_t ctx{};
#else
  void* sp = nullptr;
#endif
  void* fake = nullptr; void* tsan = nullptr;
};
enum class St : std::uint8_t { fresh, ready, at_block, at_warp, done };
struct Thread { Regs r; St st; Fiber* f; Loc loc; unsigned mask; std::vector<AsyncOp> ops, out; int group; };
struct WarpBar { unsigned mask = 0, arrived = 0; Loc loc; };
struct Warp { unsigned alive = 0; std::uint64_t slot[2][32]; std::uint8_t parity[32] = {}; std::vector<WarpBar> open; char tsan_key[2]; };

struct Block {
  std::vector<Thread> th; std::vector<Warp> warps; std::vector<Thread*> ready; std::size_t head = 0;
  std::vector<unsigned> fresh; std::size_t next_fresh = 0; unsigned alive = 0, at_bar = 0, bar_sum[2] = {0, 0}; unsigned bar_par = 0; Loc bar_loc; char bar_key[2];
  std::vector<Fiber*> all; std::size_t used = 0; Fiber main_f; Fiber* on = nullptr;  // `on`: fiber now running
  const std::function<void()>* body = nullptr; const char* name = ""; std::string error;
  struct Sh { char* p; std::size_t n; }; std::unordered_map<const void*, Sh> sh; std::size_t dyn_n = 0;
  std::uint64_t rng = 1, rot = 0;
  unsigned rnd(unsigned n) { rng ^= rng << 13; rng ^= rng >> 7; rng ^= rng << 17; return (unsigned)(rng % n); }
};
static Block& block() { static thread_local Block* b = new Block; return *b; }
static thread_local Block* Bp = nullptr;   // constant-initialised: no TLS guard on the hot path
#define B (*Bp)
struct Abort {};
static void fiber_main();

static void switch_to(Fiber* to, bool dying = false) {
  Fiber* from = B.on; if (from == to) return; ++stats().switches; (void)dying;
  B.on = to; if (to->th) cur = &to->th->r;
#if defined(CUEMU_ASAN)
  __sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
#endif
  TSAN(__tsan_switch_to_fiber(to->tsan, 1));
#if defined(CUEMU_UCONTEXT)
  swapcontext(&from->ctx, &to->ctx);
#elif defined(CUEMU_BOOST)
  auto t = boost::context::detail::jump_fcontext(to->ctx, from); static_cast<Fiber*>(t.data)->ctx = t.fctx;
#else
  cuemu_switch(&from->sp, to->sp);
#endif
#if defined(CUEMU_ASAN)
  const void* b; std::size_t n; __sanitizer_finish_switch_fiber(B.on->fake, &b, &n); if (B.on->fake == nullptr && B.on == &B.main_f) {} 
#endif
}
static void entry0() {
#if defined(CUEMU_ASAN)
  const void* b; std::size_t n; __sanitizer_finish_switch_fiber(nullptr, &b, &n); if (!B.main_f.stack) { B.main_f.stack = (char*)b; B.main_f.bytes = n; }
#endif
  fiber_main(); std::abort();
}
#if defined(CUEMU_BOOST)
static void entryb(boost::context::detail::transfer_t t) { static_cast<Fiber*>(t.data)->ctx = t.fctx; entry0(); }
#endif
static Fiber* make_fiber() {
  if (B.used < B.all.size()) return B.all[B.used++];
  auto* f = new Fiber; B.all.push_back(f); ++B.used; f->bytes = config().stack_bytes;
  char* m = static_cast<char*>(mmap(nullptr, f->bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)); mprotect(m, 4096, PROT_NONE); f->stack = m + 4096;
#if defined(CUEMU_UCONTEXT)
  getcontext(&f->ctx); f->ctx.uc_stack.ss_sp = f->stack; f->ctx.uc_stack.ss_size = f->bytes; f->ctx.uc_link = nullptr; makecontext(&f->ctx, entry0, 0);
#elif defined(CUEMU_BOOST)
  f->ctx = boost::context::detail::make_fcontext(f->stack + f->bytes, f->bytes, entryb);
#else
  auto** s = reinterpret_cast<void**>(f->stack + f->bytes - 64); *--s = nullptr; *--s = reinterpret_cast<void*>(&entry0); for (int i = 0; i < 6; ++i) *--s = nullptr; f->sp = s;
#endif
  TSAN(f->tsan = __tsan_create_fiber(0));
  return f;
}
static void drop(Fiber* f) {
#if defined(CUEMU_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(f->stack, f->bytes);
#endif
#if !defined(CUEMU_TSAN)   // TSan refuses to end a fiber in the middle of ignored work: leave it suspended
  munmap(f->stack - 4096, f->bytes + 4096); delete f;
#endif
  (void)f;
}
static void shuffle(std::vector<Thread*>& v, std::size_t from) {
  if (config().order == Order::random) for (std::size_t i = v.size(); i > from + 1; --i) std::swap(v[i - 1], v[from + B.rnd((unsigned)(i - from))]);
  else if (config().order == Order::reverse) for (std::size_t i = from, j = v.size(); i + 1 < j; ++i, --j) std::swap(v[i], v[j - 1]);
}
static std::string where(const Loc& l) { return std::string(l.file_name()) + ":" + std::to_string(l.line()) + ":" + std::to_string(l.column()); }
static std::string who(const Thread& t) { return "block(" + std::to_string(coords.bid.x) + "," + std::to_string(coords.bid.y) + ") thread(" + std::to_string(t.r.tid.x) + "," + std::to_string(t.r.tid.y) + ")"; }
[[noreturn]] static void fail(std::string m) {  // give up on the whole grid: back to run_grid; suspended fibers are dropped
  B.error = std::string("cuemu: kernel ") + B.name + ": " + m; Fiber* m_f = &B.main_f; switch_to(m_f, true); std::abort();
}
void trap(const char* w, Loc l) { fail(std::string(w) + " at " + where(l) + " by " + who(*B.on->th)); }

// run something else; `cur` thread is already parked or finished
static void dispatch() {
  for (;;) {
    if (B.head < B.ready.size()) { Thread* t = B.ready[B.head++]; if (B.head == B.ready.size()) { B.ready.clear(); B.head = 0; } t->st = St::ready; switch_to(t->f); return; }
    if (B.next_fresh < B.fresh.size()) {
      Thread* t = &B.th[B.fresh[B.next_fresh++]]; Fiber* me = B.on;
#if defined(CUEMU_TSAN)
      Fiber* f = B.all[(B.fresh[B.next_fresh - 1] + B.rot) % B.all.size()];                                              // one TSan fiber per CUDA thread
#else
      Fiber* f = (me != &B.main_f && me->th && me->th->st == St::done) ? me : make_fiber();   // a finished fiber is reused in place
#endif
      f->th = t; t->f = f; t->st = St::ready; cur = &t->r; if (f != me) switch_to(f); return;
    }
    if (B.alive == 0) { switch_to(&B.main_f); return; }
    std::string m = "deadlock: "; int n = 0;
    for (auto& t : B.th) if (t.st == St::at_block || t.st == St::at_warp) { if (n++ < 4) m += who(t) + (t.st == St::at_block ? " waits in __syncthreads at " : " waits in warp op (mask " + std::to_string(t.mask) + ") at ") + where(t.loc) + "; "; }
    fail(m + std::to_string(n) + " threads wait, " + std::to_string(B.th.size() - B.alive) + " have exited");
  }
}
static void release_block() { for (auto& t : B.th) if (t.st == St::at_block) { t.st = St::ready; B.ready.push_back(&t); } B.at_bar = 0; B.bar_par ^= 1; B.bar_sum[B.bar_par] = 0; ++stats().barriers; }
static void fiber_main() {
  for (;;) {
    Thread* t = B.on->th; TSAN(__tsan_acquire(&B.name)); ++stats().threads;
    (*B.body)();
    TSAN(__tsan_release(&B.error));
    [[maybe_unused]] Quiet q;
    t->st = St::done; --B.alive; Warp& w = B.warps[t->r.warp]; w.alive &= ~(1u << t->r.lane);
    for (auto& wb : w.open) if (wb.mask >> t->r.lane & 1) fail("a lane in the mask of a warp op at " + where(wb.loc) + " has exited: " + who(*t));
    if (B.alive && B.at_bar == B.alive) { std::size_t f = B.ready.size(); release_block(); shuffle(B.ready, f); }   // exited threads do not count
    Fiber* me = B.on; dispatch();
    if (me->th == t) {}  // only reached again when reused for another thread
  }
}
unsigned sync_count(int, int pred, Loc l) {
  [[maybe_unused]] Quiet q; Thread* t = B.on->th; unsigned par = B.bar_par; TSAN(__tsan_release(&B.bar_key[par]));
  if (B.at_bar == 0) B.bar_loc = l; else if (B.bar_loc.line() != l.line() || B.bar_loc.column() != l.column() || B.bar_loc.file_name() != l.file_name()) fail("divergent __syncthreads: " + where(B.bar_loc) + " and " + where(l) + " by " + who(*t));
  t->st = St::at_block; t->loc = l; B.bar_sum[par] += pred != 0; 
  if (++B.at_bar == B.alive) { std::size_t f = B.ready.size(); release_block(); shuffle(B.ready, f); }
  dispatch();
  TSAN(__tsan_acquire(&B.bar_key[par])); return B.bar_sum[par];
}
void sync_block(Loc l) { sync_count(0, 0, l); }
const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t in, Loc l) {
  [[maybe_unused]] Quiet q; Thread* t = B.on->th; Warp& w = B.warps[t->r.warp]; unsigned lane = t->r.lane;
  if (!(mask >> lane & 1)) fail("calling lane is not in the mask at " + where(l) + " by " + who(*t));
  if (mask & ~w.alive) fail("warp op mask " + std::to_string(mask) + " names lanes that do not exist or have exited, at " + where(l) + " by " + who(*t));
  std::uint8_t par = w.parity[lane]; w.parity[lane] ^= 1; w.slot[par][lane] = in; TSAN(__tsan_release(&w.tsan_key[par]));
  WarpBar* wb = nullptr; for (auto& x : w.open) if (x.mask & mask) { wb = &x; break; }
  if (!wb) { w.open.push_back({mask, 0, l}); wb = &w.open.back(); }
  if (wb->mask != mask || wb->loc.line() != l.line() || wb->loc.column() != l.column() || wb->loc.file_name() != l.file_name()) fail("divergent warp op: mask/site differ between " + where(wb->loc) + " and " + where(l) + " by " + who(*t));
  wb->arrived |= 1u << lane; t->st = St::at_warp; t->loc = l; t->mask = mask;
  if (wb->arrived == mask) { ++stats().warp_ops; std::size_t f = B.ready.size(); unsigned base = t->r.warp * 32; for (unsigned i = 0; i < 32; ++i) if (mask >> i & 1) { B.th[base + i].st = St::ready; B.ready.push_back(&B.th[base + i]); } *wb = w.open.back(); w.open.pop_back(); shuffle(B.ready, f); }
  dispatch();
  TSAN(__tsan_acquire(&w.tsan_key[par])); return w.slot[par];
}
void async_push(void* d, const void* s) { [[maybe_unused]] Quiet q; Thread* t = B.on->th; t->ops.push_back({d, s, t->group}); }
void async_commit() { ++B.on->th->group; }
const AsyncOp* async_take(int pending, std::size_t* n) {
  [[maybe_unused]] Quiet q; Thread* t = B.on->th; std::size_t k = 0; t->out.clear();
  for (auto& o : t->ops) { if (o.group < t->group - pending) t->out.push_back(o); else t->ops[k++] = o; } 
  t->ops.resize(k); *n = t->out.size(); return t->out.data();
}
unsigned active_mask() { return B.warps[B.on->th->r.warp].alive; }

// Shared memory of a block. Plain build: one buffer per site, re-poisoned for each block. ASan: fresh heap blocks (red zones).
// TSan: fresh mappings, so that accesses of an earlier block are forgotten.
#if defined(CUEMU_TSAN)
extern "C" { void AnnotateIgnoreWritesBegin(const char*, int); void AnnotateIgnoreWritesEnd(const char*, int); void AnnotateIgnoreReadsBegin(const char*, int); void AnnotateIgnoreReadsEnd(const char*, int); }
#endif
[[maybe_unused]] static void fill(char* p, std::size_t n) { auto* v = reinterpret_cast<volatile unsigned char*>(p); for (std::size_t i = 0; i < n; ++i) v[i] = 0xff; }
static char* sh_alloc(std::size_t n, std::size_t align) {
#if defined(CUEMU_TSAN)
  (void)align; char* p = static_cast<char*>(mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (config().poison_shared) fill(p, n);
#else
  std::size_t a = align < 16 ? 16 : align, up = (n + a - 1) / a * a; char* p = static_cast<char*>(std::aligned_alloc(a, up)); if (config().poison_shared) std::memset(p, 0xff, n);  // NaN / -1
#endif
#if defined(CUEMU_ASAN)
  if (up > n) ASAN_POISON_MEMORY_REGION(p + n, up - n);
#endif
  return p;
}
static void sh_free(char* p, std::size_t n) {
#if defined(CUEMU_TSAN)
  munmap(p, n);
#else
  (void)n; std::free(p);
#endif
}
static void shared_end() {
#if defined(CUEMU_ASAN) || defined(CUEMU_TSAN)
  for (auto& [s, v] : B.sh) sh_free(v.p, v.n);
  B.sh.clear();
#else
  if (config().poison_shared) for (auto& [s, v] : B.sh) std::memset(v.p, 0xff, v.n);
#endif
}
void* static_shared(const void* site, std::size_t n, std::size_t align) { [[maybe_unused]] Quiet q; auto& s = B.sh[site]; if (!s.p || s.n != n) { if (s.p) sh_free(s.p, s.n); s = {sh_alloc(n, align), n}; } return s.p; }
static char dyn_site; 
void* dyn_shared() { return B.dyn_n ? static_shared(&dyn_site, B.dyn_n, 16) : nullptr; }

void run_grid(dim3 g, dim3 b, std::size_t smem, const std::function<void()>& body, const char* name) {
  if (!Bp) Bp = &block();
  unsigned n = b.x * b.y * b.z; if (n == 0 || n > 1024 || g.x == 0 || g.y == 0 || g.z == 0 || g.y > 65535 || g.z > 65535) throw std::runtime_error(std::string("cuemu: invalid launch configuration of ") + name);
  if (smem > 227 * 1024) throw std::runtime_error(std::string("cuemu: too much dynamic shared memory for ") + name);
  B.body = &body; B.name = name; B.error.clear(); B.rng = config().seed * 0x9e3779b97f4a7c15ull + 1; B.on = &B.main_f; B.main_f.th = nullptr; TSAN(B.main_f.tsan = __tsan_get_current_fiber());
#if defined(CUEMU_ASAN)
  if (!B.main_f.stack) { B.main_f.stack = nullptr; }
#endif
  coords.grid = g; coords.block = b; unsigned nw = (n + 31) / 32; B.th.resize(n); B.warps.resize(nw);
  std::uint64_t nb = (std::uint64_t)g.x * g.y * g.z; std::vector<std::uint64_t> order;
  if (config().order != Order::forward) { order.resize(nb); for (std::uint64_t i = 0; i < nb; ++i) order[i] = config().order == Order::reverse ? nb - 1 - i : i; if (config().order == Order::random) for (std::uint64_t i = nb; i > 1; --i) std::swap(order[i - 1], order[B.rnd((unsigned)i)]); }
  TSAN(while (B.all.size() < n + 33) { B.used = B.all.size(); make_fiber(); } B.used = 0);  // created here, so that no fiber happens-before another
  TSAN(__tsan_release(&B.name));
  for (std::uint64_t k = 0; k < nb; ++k) {
    std::uint64_t i = order.empty() ? k : order[k]; coords.bid = {(unsigned)(i % g.x), (unsigned)(i / g.x % g.y), (unsigned)(i / g.x / g.y)};
    B.ready.clear(); B.head = 0; B.fresh.resize(n); B.next_fresh = 0; B.alive = n; B.at_bar = 0; B.bar_par = 0; B.bar_sum[0] = B.bar_sum[1] = 0;
    for (auto& w : B.warps) { w.alive = 0; w.open.clear(); std::memset(w.parity, 0, sizeof w.parity); }
    for (unsigned t = 0; t < n; ++t) { B.th[t].r = {{t % b.x, t / b.x % b.y, t / b.x / b.y}, t & 31, t >> 5}; B.th[t].ops.clear(); B.th[t].group = 0; B.th[t].st = St::fresh; B.th[t].f = nullptr; B.warps[t >> 5].alive |= 1u << (t & 31); B.fresh[t] = config().order == Order::reverse ? n - 1 - t : t; }
    if (config().order == Order::random) for (unsigned t = n; t > 1; --t) std::swap(B.fresh[t - 1], B.fresh[B.rnd(t)]);
    B.dyn_n = smem; B.rot = k * 33;   // blocks use other fibers: races between blocks show as well
    { [[maybe_unused]] Quiet q; dispatch(); }
    if (!B.error.empty()) break;
    B.used = 0;
    TSAN(__tsan_acquire(&B.error));
    { [[maybe_unused]] Quiet q; shared_end(); }
  }
  if (!B.error.empty()) {
    [[maybe_unused]] Quiet q; shared_end(); std::string e = B.error; for (Fiber* f : B.all) drop(f); B.all.clear(); B.used = 0; throw std::runtime_error(e);
  }
}
}  // namespace cuemu
cudaError_t cudaMalloc(void** p, std::size_t n) { *p = std::aligned_alloc(256, (n + 255) / 256 * 256); std::memset(*p, 0xff, n); 
#if defined(CUEMU_ASAN)
  if (n % 256) ASAN_POISON_MEMORY_REGION(static_cast<char*>(*p) + n, 256 - n % 256);
#endif
  return 0; }
cudaError_t cudaFree(void* p) { std::free(p); return 0; }
