//! `monitor alarms`.

use super::{AlarmsCommand, moment, named};
use crate::config::{self, Sources};
use crate::stdout;
use crate::store::monitoring::StoredAlarm;
use crate::store::{AlarmAction, AlarmOutcome, Operator, Store};
use anyhow::bail;
use std::process::ExitCode;
use uuid::Uuid;

#[tokio::main]
pub(super) async fn run(sources: &Sources, command: AlarmsCommand) -> anyhow::Result<ExitCode> {
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    match command {
        AlarmsCommand::List { all } => print(&store.reader.alarms(all).await?),
        AlarmsCommand::Ack { id, reason } => act(&store, id, AlarmAction::Acknowledge, &reason).await?,
        AlarmsCommand::Resolve { id, reason } => act(&store, id, AlarmAction::Resolve, &reason).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn act(store: &Store, id: Uuid, action: AlarmAction, reason: &str) -> anyhow::Result<()> {
    let reason = super::reason(reason)?;
    match store.annotations.act_on_alarm(id, action, &reason, &Operator::command()).await? {
        AlarmOutcome::Done(event) => {
            stdout::print(format_args!("alarm {id} {} by {}", event.event, event.actor));
        }
        AlarmOutcome::Before(event) => {
            stdout::print(format_args!(
                "alarm {id} was {} by {} at {}",
                event.event,
                event.actor,
                moment(event.at)
            ));
        }
        AlarmOutcome::Unchanged => bail!(
            "alarm {id} cannot be resolved: neither the baseline nor the model has changed since; approve a new baseline, or put the model out of service"
        ),
        AlarmOutcome::NoSuchAlarm => bail!("no alarm {id}; monitor alarms list prints them"),
    }
    Ok(())
}

pub(super) fn print(alarms: &[StoredAlarm]) {
    if alarms.is_empty() {
        stdout::print("no alarms");
    }
    for StoredAlarm { alarm, events, .. } in alarms {
        let quantities: Vec<String> =
            alarm.quantities.iter().map(|(name, shift)| format!("{name} {shift:+.2}")).collect();
        stdout::print(format_args!(
            "{} {} {} of {}: opened {} at leaf {}, evidence {:.0} above {:.0}, since {}; {}",
            alarm.id,
            alarm.severity.name(),
            alarm.detector,
            named(&alarm.stream),
            moment(alarm.opened_at),
            alarm.opened_leaf,
            alarm.evidence,
            alarm.threshold,
            alarm.change_at.map_or("unknown".to_owned(), moment),
            quantities.join(", ")
        ));
        for event in events {
            stdout::print(format_args!(
                "  {} {} by {}: {}",
                moment(event.at),
                event.event,
                event.actor,
                event.reason
            ));
        }
    }
}
