//! `bireme token`

use bireme_client::{Admin, Role, TokenGrant};
use bireme_core::Span;
use serde_json::{Value as Json, json};

use super::admin;
use crate::args::{Format, Global, Token};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, command: Token) -> Result<Exit, Failure> {
    let admin = admin(global).await?;
    match command {
        Token::Show => show(global, &admin).await,
        Token::Issue { roles, name, ttl } => issue(global, &admin, &roles, &name, ttl).await,
    }
}

async fn show(global: &Global, admin: &Admin) -> Result<Exit, Failure> {
    let grant = admin.token().await?;
    output::show(global.output, &json(&grant), &table(&grant))?;
    Ok(Exit::Done)
}

async fn issue(
    global: &Global,
    admin: &Admin,
    roles: &[Role],
    name: &str,
    ttl: Option<Span>,
) -> Result<Exit, Failure> {
    let issued = admin.issue_token(name, roles, ttl).await?;
    match global.output {
        Format::Json => output::json(&json!({
            "token": issued.token,
            "name": name,
            "roles": names(roles),
            "expires_us": issued.expires.map(|expires| expires.0),
        }))?,
        Format::Text => output::bytes(format!("{}\n", issued.token).as_bytes())?,
    }
    Ok(Exit::Done)
}

fn names(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.name()).collect()
}

fn json(grant: &TokenGrant) -> Json {
    json!({
        "name": grant.name,
        "roles": names(&grant.roles),
        "expires_us": grant.expires.map(|expires| expires.0),
        "insecure": grant.insecure,
    })
}

fn table(grant: &TokenGrant) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    let owner = if grant.name.is_empty() { "the access file" } else { &grant.name };
    row("token of", owner.to_owned());
    row("allows", names(&grant.roles).join(", "));
    row("good for", grant.expires.map_or_else(|| "ever".to_owned(), |left| left.to_string()));
    if grant.insecure {
        row("note", "this scheduler asks nobody for a token".to_owned());
    }
    table
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_token_says_what_it_allows() {
        let grant = TokenGrant {
            name: "ann".into(),
            roles: vec![Role::Read, Role::Submit],
            expires: Some(Span::secs(60)),
            insecure: false,
        };
        expect![[r"
            token of  ann
            allows    read, submit
            good for  1 min
        "]]
        .assert_eq(&table(&grant).render());
        assert_eq!(json(&grant)["roles"], json!(["read", "submit"]));
    }
}
