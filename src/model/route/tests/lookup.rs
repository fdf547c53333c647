//! Decision tables: which route wins, unlisted methods, the two readings, floors.

use super::*;

/// The design's example.
fn erp() -> RouteTable {
    RouteTable::new(
        vec![
            route("* /** 1"),
            route("GET /static/** 0"),
            route("POST,PUT,DELETE /payments/** 2"),
            route("POST /payments/{id}/release 3"),
        ],
        Vec::new(),
    )
}

/// `"POST /payments/7 → route | further, requirements"`; the ids are those of [`route`].
fn check(table: &RouteTable, lines: &[&str]) {
    for line in lines {
        let (request, expected) = line.split_once(" → ").unwrap();
        let (method, raw) = request.split_once(' ').unwrap();
        let target = Target::parse(raw.as_bytes(), Relaxations::ALL).unwrap();
        let explained = table.find_explained(&method.parse().unwrap(), &target);
        let mut further: Vec<_> = explained
            .parts
            .iter()
            .map(|part| match part.origin {
                Origin::Route(route) | Origin::Unlisted(route) => route.id.as_str(),
                Origin::Floor(floor) => floor.id.as_str(),
            })
            .filter(|id| *id != explained.found.route.id)
            .collect();
        further.sort_unstable();
        let mut got = explained.found.route.id.clone();
        if !further.is_empty() {
            got = format!("{got} | {}", further.join(", "));
        }
        assert_eq!(got, *expected, "{request}");
    }
}

#[test]
fn the_narrowest_path_that_has_the_method_wins() {
    check(
        &erp(),
        &[
            "GET / → * /** 1",
            "GET /payments → * /** 1",
            "GET /payments/7 → * /** 1",
            "OPTIONS /payments/7 → * /** 1",
            "POST /payments → POST,PUT,DELETE /payments/** 2",
            "POST /payments/ → POST,PUT,DELETE /payments/** 2",
            "POST /payments/7 → POST,PUT,DELETE /payments/** 2",
            "POST /payments/7/release → POST /payments/{id}/release 3",
            "POST /payments/7/release/ → POST /payments/{id}/release 3",
            "POST /payments/7/release/x → POST,PUT,DELETE /payments/** 2",
            "GET /static/app.js → GET /static/** 0",
            "HEAD /static/app.js → GET /static/** 0",
            "GET /staticapp.js → * /** 1",
            "POST /static/app.js → * /** 1",
            "OPTIONS /static/app.js → * /** 1",
        ],
    );
}

#[test]
fn a_method_that_is_not_listed_is_no_way_around() {
    check(
        &erp(),
        &[
            "PATCH /payments/7 → POST,PUT,DELETE /payments/** 2 | * /** 1",
            "PURGE /payments/7 → POST,PUT,DELETE /payments/** 2 | * /** 1",
            "PATCH /payments/7/release → POST /payments/{id}/release 3 | * /** 1, POST,PUT,DELETE /payments/** 2",
            "DELETE /payments/7/release → POST,PUT,DELETE /payments/** 2 | POST /payments/{id}/release 3",
            "post /payments/7 → POST,PUT,DELETE /payments/** 2 | * /** 1",
        ],
    );
    let table = RouteTable::new(
        vec![
            route("* /** 1"),
            route("GET /p/{id} 1"),
            route("POST /p/** 2"),
            route("GET /q 1"),
            route("POST,PUT /q 2"),
            route("* /r 1"),
            route("POST /r 2"),
        ],
        Vec::new(),
    );
    check(
        &table,
        &[
            "POST /p/7 → POST /p/** 2 | GET /p/{id} 1",
            "PATCH /p/7 → GET /p/{id} 1 | * /** 1, POST /p/** 2",
            "PATCH /q → POST,PUT /q 2 | * /** 1, GET /q 1",
            "POST /r → POST /r 2",
            "PATCH /r → POST /r 2 | * /r 1",
            "GET /r → * /r 1",
        ],
    );
}

/// A path that overlaps the winner's without being narrower says nothing of it.
#[test]
fn only_narrower_paths_add_to_an_unlisted_method() {
    let table = RouteTable::new(
        vec![
            route("* /** 1"),
            route("GET /a/** 3"),
            route("POST /{x}/b 2"),
        ],
        Vec::new(),
    );
    check(
        &table,
        &[
            "POST /a/b → POST /{x}/b 2",
            "GET /a/b → GET /a/** 3",
            "PATCH /a/b → GET /a/** 3 | * /** 1, POST /{x}/b 2",
        ],
    );
}

#[test]
fn order_does_not_matter() {
    let texts = [
        "* /** 1",
        "GET /a* 2",
        "GET /ab* 3",
        "GET /a*b* 4",
        "GET /abc 5",
        "* /abc 6",
        "GET /{x} 1",
    ];
    for shift in 0..texts.len() {
        let mut texts = texts;
        texts.rotate_left(shift);
        let table = RouteTable::new(texts.iter().map(|text| route(text)).collect(), Vec::new());
        check(
            &table,
            &[
                "GET /zz → GET /{x} 1",
                "GET /ax → GET /a* 2",
                "GET /abx → GET /ab* 3",
                "GET /axbx → GET /a*b* 4",
                "GET /abc → GET /abc 5",
                "POST /abc → * /abc 6 | GET /abc 5",
                "GET /abc/d → * /** 1",
            ],
        );
    }
}

#[test]
fn both_readings_of_case_hold() {
    let mut texts = vec![
        route("* /** 1"),
        route("* /admin/** 3"),
        route("* /Reports/** 2"),
        route("* /public/** 0"),
    ];
    let table = RouteTable::new(texts.clone(), Vec::new());
    check(
        &table,
        &[
            "GET /admin/x → * /admin/** 3",
            "GET /ADMIN/x → * /** 1 | * /admin/** 3",
            "GET /admin/X → * /admin/** 3",
            "GET /Reports/x → * /Reports/** 2",
            "GET /reports/x → * /** 1 | * /Reports/** 2",
            "GET /Public/x → * /** 1 | * /public/** 0",
        ],
    );
    for route in &mut texts {
        route.exact_case = true;
    }
    let table = RouteTable::new(texts, Vec::new());
    check(
        &table,
        &[
            "GET /ADMIN/x → * /** 1",
            "GET /reports/x → * /** 1",
            "GET /admin/x → * /admin/** 3",
        ],
    );
}

#[test]
fn every_reading_of_a_relaxed_target_holds() {
    let table = RouteTable::new(
        vec![
            route("* /** 1"),
            route("* /public/** 0"),
            route("* /admin/** 3"),
            route("* /files/{name} 2"),
        ],
        Vec::new(),
    );
    check(
        &table,
        &[
            "GET /files/a%2Fb → * /files/{name} 2 | * /** 1",
            "GET /admin%2Fx → * /** 1 | * /admin/** 3",
            "GET /admin%5Cx → * /** 1 | * /admin/** 3",
            "GET /admin;v=1/x → * /** 1 | * /admin/** 3",
            "GET //admin/x → * /** 1 | * /admin/** 3",
            "GET /%2561dmin → * /** 1 | * /admin/** 3",
            "GET /%2541DMIN → * /** 1 | * /admin/** 3",
            "GET /admin%3Fx → * /** 1 | * /admin/** 3",
            "GET /public/a%2Fb → * /public/** 0",
            "GET /public/;/admin → * /public/** 0",
        ],
    );
}

#[test]
fn floors_come_on_top() {
    let table = RouteTable::new(
        vec![route("* /** 1"), route("* /a/** 3")],
        vec![
            floor(Some(&[Method::DELETE]), None, 2),
            floor(Some(&[Method::GET]), Some("/a/secret/**"), 4),
            floor(None, Some("/B"), 5),
        ],
    );
    check(
        &table,
        &[
            "GET /x → * /** 1",
            "DELETE /x → * /** 1 | floor 2",
            "GET /a/secret → * /a/** 3 | floor 4",
            "HEAD /a/SECRET/x → * /a/** 3 | floor 4",
            "POST /a/secret → * /a/** 3",
            "POST /b → * /** 1 | floor 5",
            "GET /b%3Fx → * /** 1 | floor 5",
        ],
    );
}

#[test]
fn no_request_falls_through() {
    let nothing = RouteTable::new(Vec::new(), Vec::new());
    let public = RouteTable::new(vec![route("* /** 0")], Vec::new());
    for found in [
        nothing.find(&Method::GET, &target("/a")),
        public.find(&Method::POST, &target("/a")),
        public.find(&Method::OPTIONS, &target("/a")),
    ] {
        assert_eq!(found.demand.len(), 1);
        assert_eq!(found.demand[0].rank, Rank::UNREACHABLE);
    }
    assert_eq!(
        public.find(&Method::HEAD, &target("/a")).route.id,
        "* /** 0"
    );
}

#[test]
fn a_public_route_answers_reads_whatever_it_lists() {
    let table = RouteTable::new(
        vec![route("* /** 1"), route("GET,POST /open 0")],
        Vec::new(),
    );
    check(
        &table,
        &["GET /open → GET,POST /open 0", "POST /open → * /** 1"],
    );
}

#[test]
fn explains_why_the_others_lost() {
    let table = RouteTable::new(
        vec![
            route("* /** 1"),
            route("* /payments/** 1"),
            route("POST /payments/** 2"),
            route("GET /payments/{id} 1"),
            route("* /payments/open 0"),
            route("GET /else 1"),
        ],
        Vec::new(),
    );
    let explained = table.find_explained(&Method::POST, &target("/payments/open"));
    let losers: Vec<_> = explained
        .losers
        .iter()
        .map(|loser| (loser.route.id.as_str(), loser.why))
        .collect();
    assert_eq!(
        losers,
        [
            ("* /payments/open 0", Why::PublicReadsOnly),
            ("* /payments/** 1", Why::ListsNone),
            ("* /** 1", Why::Wider),
        ]
    );
    assert_eq!(explained.found.route.id, "POST /payments/** 2");

    let explained = table.find_explained(&Method::GET, &target("/payments/7"));
    assert_eq!(explained.found.route.id, "GET /payments/{id} 1");
    assert!(explained.losers.iter().all(|loser| loser.why == Why::Wider));
    assert_eq!(explained.losers.len(), 3);

    let explained = table.find_explained(&Method::GET, &target("/payments/7/x"));
    let post = explained
        .losers
        .iter()
        .find(|loser| loser.route.id.starts_with("POST"))
        .unwrap();
    assert_eq!(post.why, Why::Method);
}

#[test]
fn a_demand_of_any_size_is_kept() {
    let floors = (2..40).map(|rank| floor(None, None, rank)).collect();
    let table = RouteTable::new(vec![route("* /** 1")], floors);
    let found = table.find(&Method::GET, &target("/A"));
    let ranks: Vec<_> = found.demand.iter().map(|one| one.rank.get()).collect();
    assert_eq!(ranks, (1..40).collect::<Vec<_>>());
}

#[test]
fn methods_that_are_served() {
    for (name, served) in [
        ("GET", true),
        ("PATCH", true),
        ("M-SEARCH", true),
        ("TRACE", false),
        ("CONNECT", false),
        ("get", false),
        ("Get", false),
        ("POSTs", false),
    ] {
        assert_eq!(is_served(&name.parse().unwrap()), served, "{name}");
    }
}
