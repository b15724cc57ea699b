#include "domain/peers.h"

#include <stdbool.h>
#include <stdio.h>

void peers_init(struct peers *peers, int64_t lease_ns)
{
    *peers = (struct peers){.lease_ns = lease_ns};
}

static const struct peer *peers_find(const struct peers *peers, struct str id)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (str_equal(str_of(peers->list[i].id), id)) {
            return &peers->list[i];
        }
    }
    return NULL;
}

void peers_see(struct peers *peers, const struct peer_row *rows, size_t count, int64_t now)
{
    struct peers seen = {.lease_ns = peers->lease_ns};
    for (size_t i = 0; i < count && seen.count < PEERS_MAX; i++) {
        struct peer *peer = &seen.list[seen.count++];
        *peer = (struct peer){.beats = rows[i].beats,
                              .since_ns = now,
                              .wants = rows[i].wants,
                              .lease_ns = rows[i].lease_ns,
                              .yields = rows[i].yields};
        snprintf(peer->id, sizeof peer->id, "%.*s", STR_ARG(rows[i].id));
        const struct peer *before = peers_find(peers, str_of(peer->id));
        if (before != NULL && before->beats == peer->beats) {
            peer->since_ns = before->since_ns;
        }
    }
    *peers = seen;
}

static bool peers_is_gone(const struct peers *peers, const struct peer *peer, struct str self,
                          int64_t now)
{
    int64_t lease_ns = peer->lease_ns > peers->lease_ns ? peer->lease_ns : peers->lease_ns;
    return !str_equal(str_of(peer->id), self) && now - peer->since_ns >= lease_ns;
}

int64_t peers_longest_lease_ns(const struct peers *peers)
{
    int64_t longest_ns = peers->lease_ns;
    for (size_t i = 0; i < peers->count; i++) {
        longest_ns = peers->list[i].lease_ns > longest_ns ? peers->list[i].lease_ns : longest_ns;
    }
    return longest_ns;
}

size_t peers_gone(const struct peers *peers, struct str self, int64_t now,
                  const struct peer *gone[PEERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < peers->count; i++) {
        if (peers_is_gone(peers, &peers->list[i], self, now)) {
            gone[count++] = &peers->list[i];
        }
    }
    return count;
}

static bool peers_has_to_yield(const struct peers *peers, const struct peer *peer, struct str self,
                               int64_t now)
{
    for (size_t i = 0; peer->yields && i < peers->count; i++) {
        if (!peers->list[i].yields && !peers_is_gone(peers, &peers->list[i], self, now)) {
            return true;
        }
    }
    return false;
}

// Those that get slots, in the order of the list.
struct peers_active {
    int wanting_all;
    int wanting_few;
    bool self; // is one of them
    int self_wants;
    int self_place; // among those that want all
};

static struct peers_active peers_count_active(const struct peers *peers, struct str self, int wants,
                                              int most, bool anyone, int64_t now)
{
    struct peers_active active = {.self = false};
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->list[i];
        bool is_self = str_equal(str_of(peer->id), self);
        int peer_wants = !anyone ? PEERS_ALL : is_self ? wants : peer->wants;
        if (peer_wants <= 0 || peers_is_gone(peers, peer, self, now) ||
            peers_has_to_yield(peers, peer, self, now) ||
            active.wanting_all + active.wanting_few == most) {
            continue;
        }
        if (is_self) {
            active.self = true;
            active.self_wants = peer_wants;
            active.self_place = active.wanting_all;
        }
        active.wanting_all += peer_wants >= PEERS_ALL;
        active.wanting_few += peer_wants < PEERS_ALL;
    }
    return active;
}

static bool peers_anyone_wants_all(const struct peers *peers, struct str self, int wants,
                                   int64_t now)
{
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->list[i];
        bool is_self = str_equal(str_of(peer->id), self);
        if ((is_self ? wants : peer->wants) >= PEERS_ALL &&
            !peers_is_gone(peers, peer, self, now) && !peers_has_to_yield(peers, peer, self, now)) {
            return true;
        }
    }
    return false;
}

int peers_share(const struct peers *peers, struct str self, int wants, int min_slots, int64_t now)
{
    bool anyone = peers_anyone_wants_all(peers, self, wants, now);
    struct peers_active active =
        peers_count_active(peers, self, wants, PEERS_ALL / min_slots, anyone, now);
    if (!active.self) {
        return 0;
    }
    if (active.self_wants < PEERS_ALL) {
        return min_slots;
    }
    int left = PEERS_ALL - active.wanting_few * min_slots;
    return left / active.wanting_all + (active.self_place < left % active.wanting_all ? 1 : 0);
}
