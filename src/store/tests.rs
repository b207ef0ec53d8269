use node_core::{ClusterRef, InstanceId, InstanceState, NodeRecord, Phase, Save, Saved, TaskArn, Timestamp};

use super::*;

fn node(phase: Phase) -> NodeRecord {
    NodeRecord {
        instance: InstanceId::new("i-1"),
        moving_to: None,
        cluster: ClusterRef::new("c"),
        container_instance: None,
        phase,
        phase_since: Timestamp(1),
        leaving: node_core::LeavingRecord::default(),
        confirmed_state: InstanceState::Active,
        idle_since: Timestamp(1),
        manifest_seq: 0,
        pulled_images: std::collections::BTreeSet::default(),
        images: std::collections::BTreeMap::default(),
    }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let saved = node(Phase::Active);
    {
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.load().unwrap(), Saved::default());
        store.commit(&[Save::Node(Box::new(saved.clone()))]).unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.load().unwrap().node, Some(saved));
    store.commit(&[Save::Clear]).unwrap();
    assert_eq!(store.load().unwrap(), Saved::default());
    store.commit(&[Save::Forget(TaskArn::new("never there"))]).unwrap();
}

#[test]
fn a_second_agent_is_refused_the_same_record() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("another agent"), "{error}");
}

#[test]
fn the_record_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _store = Store::open(&data).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("agent.redb")), 0o600);
}

#[test]
fn a_record_of_a_newer_agent_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path()).unwrap();
        let txn = store.db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert(SCHEMA_KEY, SCHEMA_VERSION + 1).unwrap();
        txn.commit().unwrap();
    }
    assert!(matches!(Store::open(dir.path()).err(), Some(StoreError::Newer { found: 2 })));
}
