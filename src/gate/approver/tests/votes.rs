//! A yes, a no and a report, with a number and without, once a person.

use super::*;

#[tokio::test]
async fn a_yes_goes_by_the_form_and_the_page_says_what_became_of_it() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    let inbox = house.sees("dave", "/").await;
    assert!(
        inbox.has("Something plain") && inbox.has(&href(&approval.id)),
        "{}",
        inbox.body
    );
    let page = house.sees("dave", &href(&approval.id)).await;
    for text in [
        "Do you agree?",
        "alice",
        "192.0.2.7",
        "app&#x2f;plain",
        "0 of 1",
    ] {
        assert!(page.has(text), "{text}: {}", page.body);
    }
    let title = page.body.split("</title>").next().unwrap();
    assert!(!title.contains(&approval.id.0));
    let said = house.says("dave", &approval, "answer=yes").await;
    assert_eq!(said.status, 303);
    let location = said.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("{HERE}{}", href(&approval.id)));
    assert_eq!(house.status(&approval).await, "approved");
    let page = house.sees("dave", &href(&approval.id)).await;
    assert!(
        page.has("You said yes.") && page.has("1 of 1"),
        "{}",
        page.body
    );
    assert!(!page.has("<form"));
    // Nobody else has it in the way any more, and dave finds it again.
    assert!(!house.sees("erin", "/").await.has("Something plain"));
    assert!(house.sees("dave", "/history").await.has("Something plain"));
    assert!(!house.sees("erin", "/history").await.has("Something plain"));
    assert!(house.sees("alice", "/history").await.has("Something plain"));
    assert!(house.sees("alice", "/").await.has("Approved"));
}

#[tokio::test]
async fn a_no_and_a_report_end_it() {
    let house = House::new().await;
    for (form, state, text) in [
        ("answer=no&reason=not+now", "denied", "Denied"),
        ("answer=report", "reported", "Reported as wrong"),
    ] {
        let approval = house.asked("two").await;
        assert_eq!(house.says("erin", &approval, form).await.status, 303);
        assert_eq!(house.status(&approval).await, state);
        let page = house.sees("dave", &href(&approval.id)).await;
        assert!(page.has(text) && !page.has("<form"), "{}", page.body);
        let late = house.says("dave", &approval, "answer=yes").await;
        assert_eq!(late.status, 409);
        assert!(late.has("It was over before your answer came."));
        assert_eq!(house.status(&approval).await, state);
    }
    assert!(house.sees("dave", "/history").await.body.len() > 100);
}

#[tokio::test]
async fn a_number_to_pick_has_one_try() {
    let house = House::new().await;
    let approval = house.asked("pick").await;
    let page = house.sees("dave", &href(&approval.id)).await;
    for choice in &approval.choices {
        assert!(page.has(&format!("name=\"number\" value=\"{choice}\"")));
    }
    let form = format!("answer=yes&number={}", wrong(&approval));
    let said = house.says("dave", &approval, &form).await;
    assert_eq!(said.status, 422);
    assert!(said.has("there is no try left"), "{}", said.body);
    assert_eq!(house.status(&approval).await, "number");
    let approval = house.asked("pick").await;
    let none = house.says("dave", &approval, "answer=yes").await;
    assert_eq!(none.status, 422);
    assert!(none.has("The number is needed."));
    let form = format!("answer=yes&number={}", number(&approval));
    assert_eq!(house.says("erin", &approval, &form).await.status, 303);
    assert_eq!(house.status(&approval).await, "approved");
}

#[tokio::test]
async fn a_number_to_type_has_two_and_is_shown_nowhere() {
    let house = House::new().await;
    let approval = house.asked("type").await;
    // Dave is named by his user name; erin's group counts for nothing here.
    assert_eq!(house.sees("erin", &href(&approval.id)).await.status, 404);
    let page = house.sees("dave", &href(&approval.id)).await;
    assert!(
        page.has("inputmode=\"numeric\"") && page.has("7 digits"),
        "{}",
        page.body
    );
    let form = format!("answer=yes&number={}", wrong(&approval));
    let said = house.says("dave", &approval, &form).await;
    assert_eq!(said.status, 422);
    assert!(said.has("Tries left: 1."), "{}", said.body);
    assert_eq!(house.status(&approval).await, "pending");
    let pages = [
        page,
        said,
        house.sees("dave", "/").await,
        house.sees("alice", &href(&approval.id)).await,
    ];
    for page in pages {
        assert_eq!(page.body.matches(number(&approval)).count(), 0);
    }
    let last = house.says("dave", &approval, &form).await;
    assert!(last.has("there is no try left"), "{}", last.body);
    assert_eq!(house.status(&approval).await, "number");

    let approval = house.asked("type").await;
    let (one, two) = number(&approval).split_at(3);
    let form = format!("answer=yes&number={one}+{two}");
    assert_eq!(house.says("dave", &approval, &form).await.status, 303);
    assert_eq!(house.status(&approval).await, "approved");
}

/// Alice's session is that of her lineage.
#[tokio::test]
async fn a_report_ends_the_elevation_of_who_asked_and_is_in_the_audit() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    assert_eq!(house.sees("alice", "/").await.status, 200);
    assert_eq!(house.says("dave", &approval, "answer=no").await.status, 303);
    assert_eq!(house.sees("alice", "/").await.status, 200);
    let approval = house.asked("plain").await;
    assert_eq!(
        house.says("dave", &approval, "answer=report").await.status,
        303
    );
    assert_ne!(house.sees("alice", "/").await.status, 200);
    assert_eq!(house.sees("dave", "/").await.status, 200);
    let audit = house.audit.lock().unwrap().join("\n");
    for event in [
        "\"event\":\"approval-voted\",\"reason\":\"no\"",
        "\"event\":\"approval-decided\",\"reason\":\"denied\"",
        "\"event\":\"approval-voted\",\"reason\":\"report\"",
        "\"event\":\"alarm\",\"reason\":\"approval-reported\"",
    ] {
        assert!(audit.contains(event), "{event}: {audit}");
    }
    assert!(audit.contains(&approval.id.0), "{audit}");
}

#[tokio::test]
async fn one_person_has_one_vote_however_many_come_at_once() {
    let house = House::new().await;
    let approval = house.asked("two").await;
    let twice = join_all((0..8).map(|_| house.says("dave", &approval, "answer=yes"))).await;
    let taken = twice.iter().filter(|said| said.status == 303).count();
    assert_eq!(taken, 1);
    let refused = twice.iter().find(|said| said.status == 409).unwrap();
    assert!(refused.has("each person answers once"), "{}", refused.body);
    assert_eq!(house.status(&approval).await, "pending");
    assert!(house.sees("erin", &href(&approval.id)).await.has("1 of 2"));
    assert!(!house.sees("dave", "/").await.has("Something for two"));
    assert_eq!(
        house.says("erin", &approval, "answer=yes").await.status,
        303
    );
    assert_eq!(house.status(&approval).await, "approved");

    let approval = house.asked("plain").await;
    let both = join_all(["dave", "erin"].map(|who| house.says(who, &approval, "answer=yes"))).await;
    let mut statuses: Vec<_> = both.iter().map(|said| said.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
}

#[tokio::test]
async fn late_is_too_late() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    house.clock.0.fetch_add(600, Ordering::SeqCst);
    assert!(!house.sees("dave", "/").await.has("Something plain"));
    let said = house.says("dave", &approval, "answer=yes").await;
    assert_eq!(said.status, 409);
    assert!(said.has("The time for it ran out"), "{}", said.body);
    assert_eq!(house.status(&approval).await, "expired");
}

#[tokio::test]
async fn a_store_that_does_not_answer_decides_nothing() {
    let house = House::new().await;
    let approval = house.asked("plain").await;
    house.store.down.store(true, Ordering::SeqCst);
    for path in ["/", "/history", &href(&approval.id)] {
        assert_eq!(house.sees("dave", path).await.status, 503, "{path}");
    }
    assert_eq!(
        house.says("dave", &approval, "answer=yes").await.status,
        503
    );
    house.store.down.store(false, Ordering::SeqCst);
    assert_eq!(house.status(&approval).await, "pending");
}
