//! Where a systemd is reached: a bus, and the journal that belongs to it.

use std::path::PathBuf;

use kit::config::{Cursor, Fields};

/// Where every system bus is (D-Bus Specification, "Well-known Message Bus Instances").
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// A bus with a systemd on it, and its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As it is called in messages, and told from others.
    pub(super) shown: String,
    bus: Bus,
    /// The folder of the journal; none is this machine's.
    pub(super) journal: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bus {
    /// This machine's own.
    System,
    /// That of the user whom the monitor runs as.
    User,
    /// A socket.
    Socket(String),
}

impl Default for Place {
    fn default() -> Self {
        Self::new(Bus::System, None)
    }
}

impl Place {
    fn new(bus: Bus, journal: Option<PathBuf>) -> Self {
        let mut shown = match &bus {
            Bus::System => "on the system bus".to_owned(),
            Bus::User => "on the user bus".to_owned(),
            Bus::Socket(address) => format!("at {address}"),
        };
        if let Some(folder) = &journal {
            shown = format!("{shown} with the journal in {}", folder.display());
        }
        Self { shown, bus, journal }
    }

    #[cfg(test)]
    pub(super) fn socket(address: &str) -> Self {
        Self::new(Bus::Socket(address.to_owned()), None)
    }

    /// Reads `bus:` and `journal:`.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let bus = fields.get("bus").map_or(Some(Bus::System), |cursor| bus(&cursor));
        let journal = fields.get("journal").and_then(|cursor| cursor.text()).map(PathBuf::from);
        Some(Self::new(bus?, journal))
    }

    /// Returns the address to connect to; `variable` returns a variable of the monitor's environment.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub(super) fn address(&self, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        match &self.bus {
            Bus::System => Ok(variable("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|| SYSTEM_BUS.to_owned())),
            Bus::Socket(address) => Ok(address.clone()),
            // systemd puts it there (pam_systemd(8), systemd --user's dbus.socket).
            Bus::User => variable("DBUS_SESSION_BUS_ADDRESS")
                .or_else(|| variable("XDG_RUNTIME_DIR").map(|folder| format!("unix:path={folder}/bus")))
                .ok_or_else(|| {
                    "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set; write its address, like \
                     bus: unix:path=/run/user/1000/bus"
                        .to_owned()
                }),
        }
    }
}

fn bus(cursor: &Cursor<'_>) -> Option<Bus> {
    let text = cursor.text()?;
    match text.as_str() {
        "system" => Some(Bus::System),
        "user" => Some(Bus::User),
        address if address.strip_prefix("unix:path=/").is_some_and(|path| !path.is_empty()) => {
            Some(Bus::Socket(address.to_owned()))
        }
        _ => {
            cursor.mistake(format!("{text:?} is no bus; write system, user, or unix:path=/run/dbus/system_bus_socket"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_may_say_where_a_bus_is() {
        let address = |bus: Bus, set: &[(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            Place::new(bus, None).address(variable)
        };
        assert_eq!(address(Bus::System, &[]).unwrap(), "unix:path=/run/dbus/system_bus_socket");
        assert_eq!(address(Bus::System, &[("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/x")]).unwrap(), "unix:path=/x");
        assert_eq!(address(Bus::User, &[("XDG_RUNTIME_DIR", "/run/user/7")]).unwrap(), "unix:path=/run/user/7/bus");
        assert_eq!(address(Bus::Socket("unix:path=/y".to_owned()), &[]).unwrap(), "unix:path=/y");
        assert!(address(Bus::User, &[]).unwrap_err().starts_with("neither DBUS_SESSION_BUS_ADDRESS nor"));
    }
}
