//! `man`: a page for each command, and none for what only programs call.

use std::fs;

use crate::support::{Said, User};

/// What `man` shows of a page.
fn name(page: &str) -> &str {
    let name = page.split(".SH NAME\n").nth(1).unwrap();
    name.lines().next().unwrap()
}

#[test]
fn each_command_has_a_page() {
    let user = User::without_config("x");
    let shown = |command: &[&str]| user.ok(&[&["man"], command].concat()).out;
    for (command, said) in [
        (
            &[][..],
            "lace\\-ssh \\- SSH into every dev container by name",
        ),
        (&["setup"], "lace\\-ssh\\-setup \\- Wire a workspace"),
        (
            &["keys", "rotate"],
            "lace\\-ssh\\-keys\\-rotate \\- Put a new key",
        ),
    ] {
        let page = shown(command);
        assert!(name(&page).starts_with(said), "{page}");
    }
    let said = user.fails(1, &["man", "keys", "nothing"]);
    assert_eq!(
        said.err,
        "lace-ssh: error: there is no command `keys nothing`\nlace-ssh: hint: lace-ssh keys --help lists them\n"
    );
    user.fails(1, &["man", "proxy"]);
    assert!(shown(&["keys", "rotate"]).contains(concat!("lace-ssh ", env!("CARGO_PKG_VERSION"))));
    let folder = user.home().join("my man/man1");
    let said = user.ok(&["man", "--output", folder.to_str().unwrap()]).err;
    let one = format!(
        "; to read one: man '{}/lace-ssh-setup.1'\n",
        folder.display()
    );
    assert!(said.ends_with(&one), "{said}");
    let mut pages: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in [
        "lace-ssh.1",
        "lace-ssh-client-config-install.1",
        "lace-ssh-keys-rotate.1",
    ] {
        assert!(pages.iter().any(|it| it == page), "{page}: {pages:?}");
    }
    let hidden = ["proxy", "pump", "refresh", "help"];
    let is_hidden = |page: &&String| hidden.iter().any(|it| page.contains(&format!("-{it}.")));
    assert_eq!(pages.iter().find(is_hidden), None);
    // What is written is what is printed.
    let written = fs::read_to_string(folder.join("lace-ssh-keys-rotate.1")).unwrap();
    assert_eq!(written, shown(&["keys", "rotate"]));
    fs::write(user.home().join("file"), "").unwrap();
    let nowhere = user.home().join("file/x");
    let said = Said::of(&mut user.lace(&["man", "-o", nowhere.to_str().unwrap()])).expect(1);
    assert!(said.err.contains("cannot write to "), "{said:?}");
}
