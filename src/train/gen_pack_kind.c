/* gen_pack_kind.c -- conversations from domain packs: requests, parallel calls, questions back,
 * refusals, grounded answers and follow-ups, over the pack's tools as they look this time.
 *
 * In training a conversation often goes on for a few unrelated requests over the same tools: every
 * one of them is a target, and the tool list is paid for once. The test sets hold one request each,
 * as `tenon eval` asks it. The slots of each request are drawn anew, so nothing of an earlier turn
 * is needed later except where a pack's follow-up says so. */
#include "train/gen_pack.h"

enum { VIEWS_MOST = 16, TURNS_MOST = 4, REQUESTS_MOST = 3 };

struct scene {
    struct draw *d;
    const struct domain_pack *p;
    struct look look;
    struct view view[VIEWS_MOST]; int n_view;
    struct conv *c;
};

/* ---- the tool list --------------------------------------------------------------------------- */

static bool view_name_taken(const struct scene *s, const char *name)
{
    for (int i = 0; i < s->n_view; i++)
        if (!strcmp(s->view[i].name, name)) return true;
    return false;
}

static void add_view(struct scene *s, const struct domain_pack *p, int tool, struct tool_use use)
{
    if (s->n_view == VIEWS_MOST) return;
    for (int i = 0; i < s->n_view; i++)
        if (s->view[i].p == p && s->view[i].tool == tool) return;
    struct view *v = &s->view[s->n_view];
    view_make(s->d, p, tool, use, &s->look, v);
    if (view_name_taken(s, v->name)) v->name = p->tool[tool].name;
    if (view_name_taken(s, v->name)) v->name = text(s->d, "%s_%d", v->name, s->n_view);
    s->n_view++;
    json_push(s->c->tools, view_json(s->d, v));
}

static struct look look_draw(struct draw *d, const struct domain_pack *p)
{
    struct look l = { .rename = chance(d, 70), .style = style_draw(d) };
    if (!l.rename) return (struct look){ .drop_desc_percent = chance(d, 20) ? 60 : 0 };
    if (chance(d, 45)) swaps_draw(d, p, &l.swaps);
    l.opaque_percent = chance(d, 30) ? 35 : 4;
    l.drop_desc_percent = chance(d, 30) ? 70 : 10;
    l.drop_tool_desc_percent = chance(d, 20) ? 80 : 5;
    l.drop_optional_percent = chance(d, 50) ? 45 : 0;
    l.members = d->set == DATA_TRAIN && chance(d, 25) ? (enum members)range(d, 1, MEMBERS_LAST)
                                                      : MEMBERS_AS_THEY_ARE;
    return l;
}

/* Tools of other domains: a few, and now and then a list as long as a program's. */
static void add_strangers(struct scene *s)
{
    struct draw *d = s->d;
    bool many = d->set == DATA_TRAIN && d->stage > 1 && chance(d, 12);
    if (!many && !chance(d, 20)) return;
    for (int from = many ? range(d, 2, 4) : 1; from > 0; from--) {
        const struct domain_pack *q = pack_pick(d);
        for (int n = range(d, 1, many ? 4 : 2); q && q != s->p && n > 0; n--)
            add_view(s, q, below(d, q->n_tool), (struct tool_use){ 0 });
    }
}

/* What the calls of a conversation use of each tool. `without`: a tool that must not be there,
 * or -1. */
static void scene_tools(struct scene *s, const struct tool_use *use, int without, bool alone)
{
    struct draw *d = s->d;
    s->look = look_draw(d, s->p);
    int n_need = 0;
    for (int i = 0; i < s->p->n_tool; i++)
        if (use[i].needed) {
            add_view(s, s->p, i, use[i]);
            n_need++;
        }
    if (!alone) {
        int whole = d->set != DATA_TRAIN ? 60 : d->stage == 1 ? 5 : d->stage == 2 ? 45 : 55;
        int more = chance(d, whole) ? PACK_TOOLS_MOST : range(d, 1, d->stage == 1 ? 2 : 3);
        int order[PACK_TOOLS_MOST];
        for (int i = 0; i < s->p->n_tool; i++) order[i] = i;
        for (int i = s->p->n_tool - 1; i > 0; i--) {
            int j = below(d, i + 1), x = order[i];
            order[i] = order[j];
            order[j] = x;
        }
        for (int i = 0; i < s->p->n_tool && s->n_view < n_need + more; i++)
            if (!use[order[i]].needed && order[i] != without)
                add_view(s, s->p, order[i], (struct tool_use){ 0 });
        add_strangers(s);
    }
    conv_shuffle_tools(d, s->c);
}

static const struct view *view_of(const struct scene *s, int tool)
{
    for (int i = 0; i < s->n_view; i++)
        if (s->view[i].p == s->p && s->view[i].tool == tool) return &s->view[i];
    return NULL;
}

static void need_calls(const struct domain_pack *p, const struct group *g, struct tool_use *use)
{
    for (int i = 0; i < g->n_call; i++) {
        struct tool_use *u = &use[g->call[i].tool];
        uint32_t mine = args_keep(&p->tool[g->call[i].tool], g->call[i].args);
        u->always = u->needed ? u->always & mine : mine;
        u->some |= mine;
        u->needed = true;
    }
}

/* ---- one turn -------------------------------------------------------------------------------- */

static struct slots fresh_slots(const struct scene *s)
{
    struct draw *d = s->d;
    enum fill fill = !chance(d, MIN(d->fake_percent, 58)) ? FILL_OWN
                     : chance(d, 72)                      ? FILL_LIKE
                                                          : FILL_ANY;
    return (struct slots){ .p = s->p, .swaps = &s->look.swaps, .fill = fill };
}

static void say(struct scene *s, const char *marked_text)
{
    struct draw *d = s->d;
    if (d->set == DATA_TRAIN && has_senses(d) && chance(d, 18))
        marked_text = sense_reword(d, marked_text);
    conv_user(s->c, phrase_noise(d, phrase_wrap(d, marked_text)));
}

static bool calls_of(struct scene *s, const struct group *g, struct slots *sl, struct call *call)
{
    for (int i = 0; i < g->n_call; i++) {
        const struct view *v = view_of(s, g->call[i].tool);
        call[i] =
            (struct call){ v ? v->name : "", v ? view_args(s->d, v, sl, g->call[i].args) : NULL };
        if (call[i].args) continue;
        while (i--) json_free(call[i].args);
        return false;
    }
    return true;
}

/* A past call worked; the assistant says so in a word. */
static void put_past(struct scene *s, struct call *call, int n)
{
    conv_called(s->c, call, n);
    for (int i = 0; i < n; i++) {
        struct json *r = result_ok(s->d);
        conv_result(s->c, i + 1, r);
        json_free(r);
    }
    conv_assistant(s->c, phrase_done(s->d));
}

/* A sentence of the pack's before or after the request, that asks for nothing. */
static const char *with_context(struct scene *s, const char *said)
{
    struct draw *d = s->d;
    const struct json *all = json_get(s->p->root, "context");
    if (!json_len(all) || !chance(d, 12)) return said;
    const char *c = swapped(
        d, &s->look.swaps, json_str(json_at(all, (size_t)below(d, (int)json_len(all))), NULL));
    size_t n = strlen(said);
    if (chance(d, 70)) return text(d, "%s %s", c, said);
    return text(d, "%s%s%s", said, n && strchr(".!?", said[n - 1]) ? " " : ". ", c);
}

/* What the user says for a request: a phrasing of the pack, in training now and then in another
 * form. */
static const char *request_text(struct scene *s, const struct group *g, struct slots *sl)
{
    struct draw *d = s->d;
    const struct json *texts = json_get(g->g, "text");
    const char *tmpl = json_str(json_at(texts, (size_t)below(d, (int)json_len(texts))), NULL);
    if (d->set != DATA_TRAIN) return pack_text(d, sl, tmpl, true);
    const struct view *v = g->n_call == 1 && chance(d, 10) ? view_of(s, g->call[0].tool) : NULL;
    const char *named = v ? form_named(d, v, sl, g->call[0].args) : NULL;
    if (named) return named;
    if (chance(d, 4)) tmpl = form_slip(d, s->p, tmpl);
    return with_context(s, pack_text(d, sl, tmpl, true));
}

static bool put_request(struct scene *s, const struct group *g, bool last)
{
    struct slots sl = fresh_slots(s);
    struct call call[CALLS_MOST];
    say(s, request_text(s, g, &sl));
    if (!calls_of(s, g, &sl, call)) return false;
    if (last) conv_answer_calls(s->c, call, g->n_call);
    else put_past(s, call, g->n_call);
    return true;
}

static bool put_none(struct scene *s, const struct group *g, bool last)
{
    struct slots sl = fresh_slots(s);
    say(s, pack_text(s->d, &sl, json_str(json_get(g->g, "text"), NULL), true));
    const char *reply = pack_text(s->d, &sl, json_str(json_get(g->g, "reply"), NULL), false);
    if (last) conv_answer_text(s->c, reply);
    else conv_assistant(s->c, reply);
    return true;
}

/* Several requests in one breath. */
static bool put_several(struct scene *s, const struct group *const *g, int n)
{
    struct draw *d = s->d;
    struct call call[REQUESTS_MOST * CALLS_MOST];
    const char *all = "";
    int calls = 0;
    for (int i = 0; i < n; i++) {
        struct slots sl = fresh_slots(s);
        const char *one = pack_one_text(d, &sl, json_get(g[i]->g, "text"), true);
        size_t len = strlen(all);
        bool ended = len && strchr(".!?", all[len - 1]);
        const char *join =
            !i      ? ""
            : ended ? rule(d, " | Also | And | Then | After that | Next: |\n| Plus: ")
                    : rule(d, " and |, and then |; also |. Then |, and also |. Also |\n|. And |, plus ");
        all = text(d, "%s%s%s", all, join, one);
        if (!calls_of(s, g[i], &sl, call + calls)) {
            while (calls--) json_free(call[calls].args);
            return false;
        }
        calls += g[i]->n_call;
    }
    say(s, all);
    conv_answer_calls(s->c, call, calls);
    return true;
}

static const struct group *group_draw(struct draw *d, const struct domain_pack *p,
                                      enum group_kind k)
{
    return p->n_group[k] ? &p->group[k][below(d, p->n_group[k])] : NULL;
}

/* Groups are as long as their phrasings are many: draw by phrasing, not by group. */
static const struct group *request_draw(struct draw *d, const struct domain_pack *p)
{
    for (int i = 0; i < 6; i++) {
        const struct group *g = group_draw(d, p, GROUP_REQUEST);
        if (below(d, 12) < (int)json_len(json_get(g->g, "text")) + 2) return g;
    }
    return group_draw(d, p, GROUP_REQUEST);
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static int turns_draw(struct draw *d)
{
    if (d->set != DATA_TRAIN || chance(d, 30)) return 1;
    return d->stage == 1 ? 2 : range(d, 2, TURNS_MOST);
}

/* A conversation of requests whose last turn is of the wanted kind. */
static bool requests(struct scene *s, enum data_kind kind)
{
    struct draw *d = s->d;
    int n = turns_draw(d);
    const struct group *g[TURNS_MOST];
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    for (int i = 0; i < n; i++) {
        bool last = i + 1 == n;
        enum group_kind k = last            ? (kind == KIND_PARALLEL ? GROUP_PARALLEL
                                               : kind == KIND_NONE   ? GROUP_NONE
                                                                     : GROUP_REQUEST)
                            : chance(d, 80) ? GROUP_REQUEST
                            : chance(d, 60) ? GROUP_PARALLEL
                                            : GROUP_NONE;
        g[i] = k == GROUP_REQUEST ? request_draw(d, s->p) : group_draw(d, s->p, k);
        if (!g[i]) return false;
        if (g[i]->n_call) need_calls(s->p, g[i], use);
    }
    scene_tools(s, use, -1, kind == KIND_SINGLE);
    for (int i = 0; i < n; i++)
        if (!(g[i]->n_call ? put_request(s, g[i], i + 1 == n) : put_none(s, g[i], i + 1 == n)))
            return false;
    return true;
}

static bool several_requests(struct scene *s)
{
    const struct group *g[REQUESTS_MOST];
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    int n = chance(s->d, 80) ? 2 : REQUESTS_MOST;
    for (int i = 0; i < n; i++) {
        g[i] = request_draw(s->d, s->p);
        for (int j = 0; j < i; j++) if (g[i] == g[j]) return false;
        need_calls(s->p, g[i], use);
    }
    scene_tools(s, use, -1, chance(s->d, 20));
    return put_several(s, g, n);
}

/* One request for several values: as many calls. Where the parameter takes a list, the same words
 * are one call; only the schema tells. */
static bool spread(struct scene *s)
{
    struct draw *d = s->d;
    const struct group *g = NULL;
    const char *tmpl = NULL;
    int slot = -1;
    for (int i = 0; i < 30 && slot < 0; i++) {
        g = request_draw(d, s->p);
        const struct json *texts = json_get(g->g, "text");
        tmpl = json_str(json_at(texts, (size_t)below(d, (int)json_len(texts))), NULL);
        slot = form_lone_slot(d, s->p, g, tmpl);
        /* two numbers or days for one of several parameters could be anyone's */
        if (slot >= 0 && form_is_measure(&s->p->slot[slot]) && json_len(g->call[0].args) > 1)
            slot = -1;
    }
    if (slot < 0) return false;
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    need_calls(s->p, g, use);
    scene_tools(s, use, -1, chance(d, 35));
    int n = chance(d, 60) ? 2 : range(d, 3, 4);
    struct slots sl = fresh_slots(s);
    struct call call[CALLS_MOST];
    say(s, pack_text(d, &sl, form_spread(d, s->p, tmpl, slot, n), true));
    for (int k = 0; k < n; k++) {
        struct json *args = form_args_with(s->p, g->call[0].args, slot, k + 1);
        struct group one = { .g = g->g, .call = { { g->call[0].tool, args } }, .n_call = 1 };
        bool ok = calls_of(s, &one, &sl, &call[k]);
        json_free(args);
        if (ok) continue;
        while (k--) json_free(call[k].args);
        return false;
    }
    conv_answer_calls(s->c, call, n);
    return true;
}

/* The request is fine, but its tool is not on the list. */
static bool tool_missing(struct scene *s)
{
    struct draw *d = s->d;
    const struct group *g = request_draw(d, s->p), *h = NULL;
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    bool talk = d->set == DATA_TRAIN && chance(d, 50);
    for (int i = 0; talk && i < 20 && !h; i++) {
        h = request_draw(d, s->p);
        if (h->call[0].tool == g->call[0].tool) h = NULL;
    }
    if (h) need_calls(s->p, h, use);
    if (s->p->n_tool < 2) return false;
    scene_tools(s, use, g->call[0].tool, false);
    if (h && !put_request(s, h, false)) return false;
    struct slots sl = fresh_slots(s);
    say(s, pack_one_text(d, &sl, json_get(g->g, "text"), true));
    conv_answer_text(s->c, phrase_refusal(d, s->c->tools));
    return true;
}

/* A request of another domain altogether. */
static bool foreign(struct scene *s)
{
    struct draw *d = s->d;
    const struct domain_pack *home = s->p, *q = pack_pick(d);
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    if (!q || q == home) return false;
    use[below(d, home->n_tool)].needed = true;
    scene_tools(s, use, -1, chance(d, 50));
    for (int i = 0; i < s->n_view; i++) if (s->view[i].p == q) return false;
    const struct group *g = request_draw(d, q);
    struct slots sl = fresh_slots(s);
    sl.p = q;
    sl.swaps = NULL;
    say(s, pack_one_text(d, &sl, json_get(g->g, "text"), true));
    conv_answer_text(s->c, phrase_refusal(d, s->c->tools));
    return true;
}

static bool none(struct scene *s)
{
    int r = below(s->d, 100);
    if (s->d->set == DATA_TRAIN && chance(s->d, 18)) return foreign(s);
    if (r < 55 && s->p->n_group[GROUP_NONE]) return requests(s, KIND_NONE);
    if (r < 92) return tool_missing(s);
    const char *reply;
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    scene_tools(s, use, -1, false);
    say(s, phrase_chat(s->d, &reply));
    conv_answer_text(s->c, reply);
    return true;
}

/* A request group that is the ask group plus exactly its missing argument, with slots only. */
static const struct group *completed_by(struct draw *d, const struct domain_pack *p,
                                        const struct group *ask, const char *missing, uint64_t said)
{
    int from = below(d, p->n_group[GROUP_REQUEST]);
    for (int i = 0; i < p->n_group[GROUP_REQUEST]; i++) {
        const struct group *g = &p->group[GROUP_REQUEST][(i + from) % p->n_group[GROUP_REQUEST]];
        const struct json *m = json_get(g->call[0].args, missing);
        if (g->call[0].tool != ask->call[0].tool || !json_is(m, JSON_STRING)) continue;
        uint64_t mine = pack_refs(p, m, true), rest = 0;
        bool plain = mine && !(mine & (mine - 1)) && !(mine & said);
        for (struct json_iter it = json_iter(g->call[0].args); json_next(&it);) {
            uint64_t r = pack_refs(p, it.value, true);
            plain = plain && json_is(it.value, JSON_STRING) && r;
            if (strcmp(it.key, missing)) rest |= r;
        }
        if (plain && rest == said) return g;
    }
    return NULL;
}

static uint64_t bit_index(uint64_t one) { return (uint64_t)__builtin_ctzll(one); }

/* A request as it stands, but an optional parameter that it does not mention is required here. The
 * same words lead to a call elsewhere: only the schema tells. */
static bool ask_promoted(struct scene *s)
{
    struct draw *d = s->d;
    const struct group *g = request_draw(d, s->p);
    const struct pack_tool *t = &s->p->tool[g->call[0].tool];
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    need_calls(s->p, g, use);
    struct tool_use *u = &use[g->call[0].tool];
    int at = below(d, (int)json_len(t->props)), i = 0;
    for (struct json_iter it = json_iter(t->props); json_next(&it); i++)
        if (i == at && (u->some >> i & 1 || json_str_is(json_get(it.value, "type"), "boolean")))
            return false;
    u->demand = 1u << at;
    scene_tools(s, use, -1, chance(d, 30));
    const struct view *v = view_of(s, g->call[0].tool);
    for (i = 0; v && i < v->n_param && v->param[i].index != at;) i++;
    /* a tool without parameters */
    if (!v || i == v->n_param) return false;
    struct slots sl = fresh_slots(s);
    say(s, pack_one_text(d, &sl, json_get(g->g, "text"), true));
    conv_answer_text(s->c, phrase_question(d, spoken(d, v->param[i].name), ""));
    return true;
}

static bool ask(struct scene *s)
{
    struct draw *d = s->d;
    if (chance(d, 45)) return ask_promoted(s);
    const struct group *g = group_draw(d, s->p, GROUP_ASK);
    if (!g) return false;
    const char *missing = json_str(json_get(g->g, "missing"), NULL);
    const struct json *texts = json_get(g->g, "text");
    const char *tmpl = json_str(json_at(texts, (size_t)below(d, (int)json_len(texts))), NULL);
    const struct group *done = missing && d->set == DATA_TRAIN && chance(d, 50)
                                   ? completed_by(d, s->p, g, missing, pack_text_refs(s->p, tmpl))
                                   : NULL;
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    use[g->call[0].tool].needed = true;
    if (done) need_calls(s->p, done, use);
    scene_tools(s, use, -1, chance(d, 25));
    struct slots sl = fresh_slots(s);
    say(s, pack_text(d, &sl, tmpl, true));
    const char *question = pack_one_text(d, &sl, json_get(g->g, "question"), false);
    if (!done) {
        conv_answer_text(s->c, question);
        return true;
    }
    conv_assistant(s->c, question);
    uint64_t slot = pack_refs(s->p, json_get(done->call[0].args, missing), true);
    const char *value = pack_text(d, &sl, text(d, "{%s}", s->p->slot[bit_index(slot)].name), true);
    conv_user(s->c, phrase_noise(
                        d, phrase_template(
                               d,
                               rule(d, "{v}|{v}|{v}|{v} please|it's {v}|{v}.|let's say {v}|I mean "
                                       "{v}|oh, {v}|{v}, thanks|sorry, {v}|make it {v}|take {v}"),
                               (const char *const[]){ "v", value, NULL })));
    struct call call[CALLS_MOST];
    if (!calls_of(s, done, &sl, call)) return false;
    conv_answer_calls(s->c, call, 1);
    s->c->kind = KIND_MULTI_TURN;
    return true;
}

static bool same_args(const struct json *a, const struct json *b, bool keys_only)
{
    if (json_len(a) != json_len(b)) return false;
    for (struct json_iter it = json_iter(a); json_next(&it);) {
        const struct json *o = json_get(b, it.key);
        if (!o || (!keys_only && !json_equal(it.value, o))) return false;
    }
    return true;
}

/* The request that leads to a result: the same arguments, else the same parameters, else the
 * same tool. */
static const struct group *source_of(struct draw *d, const struct domain_pack *p,
                                     const struct group *g)
{
    int n = p->n_group[GROUP_REQUEST], from = below(d, n);
    for (int pass = 0; pass < 3; pass++)
        for (int i = 0; i < n; i++) {
            const struct group *q = &p->group[GROUP_REQUEST][(i + from) % n];
            if (q->call[0].tool != g->call[0].tool) continue;
            if (pass == 2 || same_args(q->call[0].args, g->call[0].args, pass == 1)) return q;
        }
    return NULL;
}

/* Values that the result and the answer share: a grounded answer must hold them. */
static struct json *must_contain(struct draw *d, const struct slots *sl, const char *answer,
                                 const struct json *result)
{
    struct json *must = json_new_array();
    uint64_t said = pack_text_refs(sl->p, answer) & pack_refs(sl->p, result, true);
    for (int i = 0; i < sl->n; i++)
        if (sl->got[i].k == 1 && said >> sl->got[i].slot & 1)
            json_push(must, json_new_str(drawn_plain(d, &sl->got[i])));
    return must;
}

/* Request q, its call, its result of group g, and what the assistant makes of it. */
static bool put_result(struct scene *s, const struct group *g, const struct group *q, bool last)
{
    struct draw *d = s->d;
    struct slots sl = fresh_slots(s);
    struct call call[CALLS_MOST];
    say(s, pack_one_text(d, &sl, json_get(q->g, "text"), true));
    if (!calls_of(s, q, &sl, call)) return false;
    conv_called(s->c, call, 1);
    const struct json *answers = json_get(g->g, "answer"), *tmpl = json_get(g->g, "result");
    struct json *result = pack_value(d, &sl, tmpl);
    conv_result(s->c, 1, result);
    json_free(result);
    const char *answer = json_str(json_at(answers, (size_t)below(d, (int)json_len(answers))), NULL);
    const char *said = pack_text(d, &sl, answer, false);
    if (!last) { conv_assistant(s->c, said); return true; }
    conv_answer_text(s->c, said);
    s->c->must = must_contain(d, &sl, answer, tmpl);
    return true;
}

/* Half of the training conversations go on after the answer. */
static bool grounded(struct scene *s)
{
    struct draw *d = s->d;
    const struct group *g = group_draw(d, s->p, GROUP_RESULT);
    const struct group *q = g ? source_of(d, s->p, g) : NULL;
    if (!q) return false;
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    need_calls(s->p, q, use);
    const struct group *next =
        d->set == DATA_TRAIN && d->stage > 1 && chance(d, 50) ? request_draw(d, s->p) : NULL;
    if (next) need_calls(s->p, next, use);
    scene_tools(s, use, -1, chance(d, 45));
    if (next && chance(d, 50)) return put_request(s, next, false) && put_result(s, g, q, true);
    if (!put_result(s, g, q, !next)) return false;
    if (!next) return true;
    s->c->kind = KIND_MULTI_TURN;
    return put_request(s, next, true);
}

/* ---- follow-ups ------------------------------------------------------------------------------ */

/* May group q be the turn before follow-up g (said: slots that the follow-up's text names
 * itself)? */
static bool leads_to(const struct domain_pack *p, const struct group *q, const struct group *g,
                     uint64_t said)
{
    const struct json *before = q->call[0].args, *after = g->call[0].args;
    uint64_t need = pack_refs(p, after, true) & ~said;
    if (q->call[0].tool != g->first || (need & ~pack_refs(p, before, false))) return false;
    if (g->call[0].tool != g->first) return true;
    for (struct json_iter it = json_iter(before); json_next(&it);) {
        const struct json *a = json_get(after, it.key);
        uint64_t r = pack_refs(p, a, true);
        if (!a || (r && !(r & ~said))) return false;
    }
    return true;
}

/* The tools of a request and of what comes after it (NULL: needs no others), the request, its call and the result. */
static bool answered_before(struct scene *s, const struct group *first, const struct group *then, struct slots *sl, struct call *call)
{
    struct tool_use use[PACK_TOOLS_MOST] = { 0 };
    need_calls(s->p, first, use);
    if (then) need_calls(s->p, then, use);
    scene_tools(s, use, -1, chance(s->d, 20));
    *sl = fresh_slots(s);
    say(s, pack_one_text(s->d, sl, json_get(first->g, "text"), true));
    if (!calls_of(s, first, sl, call)) return false;
    put_past(s, call, 1);
    return true;
}

static bool followup(struct scene *s)
{
    struct draw *d = s->d;
    const struct group *g = group_draw(d, s->p, GROUP_FOLLOWUP), *q = NULL;
    if (!g) return false;
    const struct json *texts = json_get(g->g, "text");
    const char *second = json_str(json_at(texts, (size_t)below(d, (int)json_len(texts))), NULL);
    int n = s->p->n_group[GROUP_REQUEST], from = below(d, n);
    for (int i = 0; i < n && !q; i++) {
        const struct group *r = &s->p->group[GROUP_REQUEST][(i + from) % n];
        if (leads_to(s->p, r, g, pack_text_refs(s->p, second))) q = r;
    }
    if (!q) return false;
    struct slots sl;
    struct call call[CALLS_MOST];
    if (!answered_before(s, q, g, &sl, call)) return false;
    say(s, pack_text(d, &sl, second, true));
    if (!calls_of(s, g, &sl, call)) return false;
    conv_answer_calls(s->c, call, 1);
    return true;
}

/* "not the kitchen, the attic": the call again with one value changed. */
static bool fix(struct scene *s)
{
    struct draw *d = s->d;
    const struct group *g = NULL;
    int slot = -1;
    for (int i = 0; i < 30 && slot < 0; i++) {
        g = request_draw(d, s->p);
        slot = form_lone_slot(d, s->p, g, NULL);
    }
    if (slot < 0) return false;
    struct slots sl;
    struct call call[CALLS_MOST];
    if (!answered_before(s, g, NULL, &sl, call)) return false;
    const char *name = s->p->slot[slot].name,
               *as = rule(d, "not {w}, {v}|sorry, I meant {v}, not {w}|no, {v} instead of {w}|"
                             "that should have been {v}, not {w}|change {w} to {v}|"
                             "oh, I said {w} but it's {v}|make that {v} instead of {w}|"
                             "wrong: {v} rather than {w}|again, but with {v} in place of {w}|"
                             "{v}, not {w}!|could you do that with {v} instead of {w}?");
    const char *again = phrase_template(d, as,
                                        (const char *const[]){ "w", text(d, "{%s}", name), "v",
                                                               text(d, "{%s.2}", name), NULL });
    say(s, pack_text(d, &sl, again, true));
    struct json *args = form_args_with(s->p, g->call[0].args, slot, 2);
    struct group one = { .g = g->g, .call = { { g->call[0].tool, args } }, .n_call = 1 };
    bool ok = calls_of(s, &one, &sl, call);
    json_free(args);
    if (ok) conv_answer_calls(s->c, call, 1);
    return ok;
}

/* In training a third of the parallel calls are one request for several values. */
static bool parallel(struct scene *s)
{
    if (s->d->set == DATA_TRAIN && chance(s->d, 33)) return spread(s);
    return chance(s->d, 40) ? several_requests(s) : requests(s, KIND_PARALLEL);
}

bool pack_conversation(struct draw *d, enum data_kind kind, struct conv *c)
{
    struct scene s = { .d = d, .p = pack_pick(d), .c = c };
    if (!s.p) return false;
    conv_start(c, kind);
    if (chance(d, 12)) conv_system(c, system_line(d));
    bool ok = false;
    switch (kind) {
    case KIND_PARALLEL: ok = parallel(&s); break;
    case KIND_NONE: ok = none(&s); break;
    case KIND_ASK: ok = ask(&s); break;
    case KIND_GROUNDED: ok = grounded(&s); break;
    case KIND_MULTI_TURN:
        ok = d->set == DATA_TRAIN && chance(d, 20) ? fix(&s) : followup(&s);
        break;
    default: ok = requests(&s, kind);
    }
    if (!ok) conv_drop(c);
    return ok;
}
