//! `bireme actor`

use super::support::Site;

#[tokio::test]
async fn a_deadline_holds_for_a_call_that_nobody_can_take() {
    let site = Site::start().await;
    let create = ["actor", "create", "NoSuchClass", "--name", "nowhere", "--timeout", "0s"];
    site.fails(3, &create).await;
    let call = ["actor", "call", "nowhere", "increment", "--deadline", "50ms"];
    let said = site.fails(1, &call).await;
    assert!(said.contains("DEADLINE") && said.contains("the actor is waiting"), "{said}");
    site.stop().await;
}
