//! `stepgate approvals`: what waits for somebody's word, and an operator's word in everybody's place.
//!
//! 0: done. 1: there is no such approval, or it cannot be changed any more. 2: nobody to ask.

use std::io::Write;
use std::path::Path;

use http::Method;

use super::operate::{columns, failed, printable, socket, time};
use super::{Approvals, ApprovalsCommand, FINDINGS, Format, Overrule, say};
use crate::admin;
use crate::gate::ApprovalView;

pub(super) fn run(path: &Path, typed: &Approvals, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let answer = socket(path, typed.socket.as_deref()).and_then(|socket| {
        let listed = |target: &str| {
            let listed: admin::Approvals = socket.call(&Method::GET, target)?;
            Ok(listed.approvals)
        };
        let overruled = |word: &str, id: &str, reason: &str| {
            let query = query(&[("id", id), ("reason", reason)]);
            let target = format!("/approvals/{word}?{query}");
            let overruled: admin::Overruled = socket.call(&Method::POST, &target)?;
            Ok(vec![overruled.approval])
        };
        match &typed.command {
            ApprovalsCommand::List { subject: None, .. } => listed("/approvals"),
            ApprovalsCommand::List {
                subject: Some(subject),
                ..
            } => listed(&format!("/approvals?{}", query(&[("subject", subject)]))),
            ApprovalsCommand::Show { id, .. } => {
                listed(&format!("/approvals?{}", query(&[("id", id)])))
            }
            ApprovalsCommand::Approve(Overrule { id, reason }) => overruled("approve", id, reason),
            ApprovalsCommand::Deny(Overrule { id, reason }) => overruled("deny", id, reason),
            ApprovalsCommand::Revoke { id } => overruled("revoke", id, ""),
        }
    });
    let approvals = match answer {
        Ok(approvals) => approvals,
        Err(error) => return failed(&error, err),
    };
    let (text, is_looked_for) = match &typed.command {
        ApprovalsCommand::List {
            format: Format::Json,
            ..
        } => (json(&approvals), false),
        ApprovalsCommand::List { .. } => (table(&approvals), false),
        ApprovalsCommand::Show {
            format: Format::Json,
            ..
        } => (json(&approvals), true),
        ApprovalsCommand::Show { .. } => (details(&approvals), true),
        ApprovalsCommand::Approve(_)
        | ApprovalsCommand::Deny(_)
        | ApprovalsCommand::Revoke { .. } => (details(&approvals), false),
    };
    say(out, &text);
    if is_looked_for && approvals.is_empty() {
        say(
            err,
            "stepgate: there is no approval of that id, or none any more\n",
        );
        return FINDINGS;
    }
    0
}

fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    query.finish()
}

fn json(approvals: &[ApprovalView]) -> String {
    serde_json::to_string_pretty(approvals).unwrap_or_default() + "\n"
}

fn table(approvals: &[ApprovalView]) -> String {
    let head = [
        "ID",
        "APPROVAL",
        "STATUS",
        "VOTES",
        "REQUESTER",
        "UNTIL",
        "SUMMARY",
    ];
    let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_owned))
        .chain(approvals.iter().map(|approval| {
            [
                approval.id.clone(),
                approval.name.clone(),
                approval.status.clone(),
                format!("{} of {}", yes(approval), approval.need),
                printable(&approval.requester),
                time(approval.expires),
                printable(&approval.summary),
            ]
        }))
        .collect();
    columns(&rows)
}

fn yes(approval: &ApprovalView) -> usize {
    let votes = approval.votes.iter();
    votes.filter(|vote| vote.answer == "yes").count()
}

fn details(approvals: &[ApprovalView]) -> String {
    let mut text = String::new();
    for approval in approvals {
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12} {value}\n"));
        line("id", &approval.id);
        line("approval", &approval.name);
        line("status", &approval.status);
        line("summary", &printable(&approval.summary));
        line(
            "request",
            &format!("{} at {}", approval.method, approval.origin),
        );
        line("route", &approval.route);
        let subject = printable(&approval.subject);
        line(
            "requester",
            &format!("{} ({subject})", printable(&approval.requester)),
        );
        line("from", &approval.address);
        line("mode", &approval.mode);
        line("need", &approval.need.to_string());
        for vote in &approval.votes {
            let reason = vote.reason.as_deref().map(printable).unwrap_or_default();
            let said = format!(
                "{} by {} at {} ({}) {reason}",
                vote.answer,
                printable(&vote.name),
                time(vote.at),
                vote.channel
            );
            line("vote", said.trim_end());
        }
        line("asked", &time(approval.created));
        line("until", &time(approval.expires));
    }
    text
}
