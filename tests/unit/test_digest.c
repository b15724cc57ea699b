#include "io/digest.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

static void hash_of(struct str destination, struct str body, unsigned char hash[DIGEST_BYTES])
{
    struct digest *digest = digest_create(destination);
    digest_body(digest, body, hash);
    digest_destroy(digest);
}

static bool same(struct str destination_a, struct str body_a, struct str destination_b,
                 struct str body_b)
{
    unsigned char a[DIGEST_BYTES];
    unsigned char b[DIGEST_BYTES];
    hash_of(destination_a, body_a, a);
    hash_of(destination_b, body_b, b);
    return memcmp(a, b, DIGEST_BYTES) == 0;
}

// It stands in customer_state of a running installation: another hash sends everything again.
START_TEST(is_the_sha_256_of_destination_nul_and_body)
{
    unsigned char hash[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    hash_of(STR("https://api.example/v1"), STR("{\"a\":1}"), hash);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    // printf 'https://api.example/v1\0{"a":1}' | sha256sum
    ck_assert_str_eq(hex, "51280fdaccef51e5929dfc1880b4283bb73f5da7f75bf38edd5d1a7517e25dc9");
}
END_TEST

START_TEST(differs_with_the_body_and_with_the_destination)
{
    ck_assert(same(STR("d"), STR("b"), STR("d"), STR("b")));
    ck_assert(!same(STR("d"), STR("b"), STR("d"), STR("c")));
    ck_assert(!same(STR("d"), STR("b"), STR("e"), STR("b")));
    ck_assert(!same(STR("d"), STR(""), STR("d"), STR("\0")));
    ck_assert(same(STR("d"), str_of(NULL), STR("d"), STR("")));
}
END_TEST

START_TEST(the_border_between_the_two_counts)
{
    ck_assert(!same(STR("ab"), STR("c"), STR("a"), STR("bc")));
    ck_assert(!same(STR(""), STR("ab"), STR("ab"), STR("")));
}
END_TEST

START_TEST(one_body_leaves_nothing_for_the_next)
{
    struct digest *digest = digest_create(STR("d"));
    unsigned char first[DIGEST_BYTES];
    unsigned char other[DIGEST_BYTES];
    unsigned char again[DIGEST_BYTES];
    digest_body(digest, STR("b"), first);
    digest_body(digest, STR("something else"), other);
    digest_body(digest, STR("b"), again);
    ck_assert_mem_eq(first, again, DIGEST_BYTES);
    ck_assert_mem_ne(first, other, DIGEST_BYTES);
    hash_of(STR("d"), STR("b"), other);
    ck_assert_mem_eq(first, other, DIGEST_BYTES);
    digest_destroy(digest);
    digest_destroy(NULL);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("digest");
    tcase_add_test(tests, is_the_sha_256_of_destination_nul_and_body);
    tcase_add_test(tests, differs_with_the_body_and_with_the_destination);
    tcase_add_test(tests, the_border_between_the_two_counts);
    tcase_add_test(tests, one_body_leaves_nothing_for_the_next);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("digest");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
