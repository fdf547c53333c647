//! The admin listener and the operators' socket: bound before anything runs, gone when it has ended.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::task::JoinSet;

use super::Control;
use super::routes::{self, Entrance, Peer};
use crate::config::{AdminSocket, Config, DEFAULT_ADMIN_SOCKET};

/// Why an operator could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot listen on {address} (`admin_listen`): {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot listen on {} (`admin_socket`): {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("{} (`admin_socket`) is another process's", path.display())]
    InUse { path: PathBuf },
    #[error("{} (`admin_socket`) is a file, and no socket", path.display())]
    NoSocket { path: PathBuf },
}

/// Sockets that are bound already.
#[derive(Debug)]
pub struct AdminListeners {
    tcp: Vec<TcpListener>,
    names: Arc<[String]>,
    socket: Option<Socket>,
}

impl AdminListeners {
    pub fn bind(config: &Config) -> Result<Self, AdminError> {
        let tcp = config.admin.listen.iter().map(|address| {
            let listen = |source| AdminError::Listen {
                address: *address,
                source,
            };
            let listener = TcpListener::bind(address).map_err(listen)?;
            listener.set_nonblocking(true).map_err(listen)?;
            Ok(listener)
        });
        Ok(Self {
            tcp: tcp.collect::<Result<_, _>>()?,
            names: config.admin.hosts.as_slice().into(),
            socket: match &config.admin.socket {
                AdminSocket::Off => None,
                AdminSocket::At(path) => Some(Socket::bind(path)?),
                AdminSocket::WhereThereIsRoom => by_default(),
            },
        })
    }

    /// As they are: port 0 of the configuration is a real one here.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.tcp
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
    }

    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|socket| socket.path.as_path())
    }

    /// Until it is dropped; then the socket's file is gone as well.
    pub async fn serve(self, control: Arc<dyn Control>) {
        let mut serving = JoinSet::new();
        for listener in self.tcp {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                tracing::error!("the admin listener cannot be used");
                continue;
            };
            let app = routes::over_tcp(Arc::clone(&control), Arc::clone(&self.names));
            let app = app.into_make_service_with_connect_info::<Entrance>();
            serving.spawn(async move { axum::serve(listener, app).await });
        }
        // Its file goes when this is dropped.
        let mut socket = self.socket;
        if let Some(socket) = &mut socket
            && let Some(listener) = socket.listener.take()
        {
            let Ok(listener) = tokio::net::UnixListener::from_std(listener) else {
                tracing::error!("the admin socket cannot be used");
                return;
            };
            let app = routes::over_socket(control, socket.owner)
                .into_make_service_with_connect_info::<Peer>();
            serving.spawn(async move { axum::serve(listener, app).await });
        }
        while serving.join_next().await.is_some() {}
    }
}

impl Connected<IncomingStream<'_, tokio::net::TcpListener>> for Entrance {
    fn connect_info(stream: IncomingStream<'_, tokio::net::TcpListener>) -> Self {
        Self(stream.io().local_addr().ok())
    }
}

impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

/// A socket's file: removed with it, unless another process has put its own there meanwhile.
#[derive(Debug)]
struct Socket {
    path: PathBuf,
    listener: Option<UnixListener>,
    /// Whom the file belongs to: the user that this process runs as.
    owner: u32,
    inode: u64,
}

impl Socket {
    /// What a process that is gone has left behind is taken over. Nobody else may connect; who could before the mode was
    /// set is refused by name.
    fn bind(path: &Path) -> Result<Self, AdminError> {
        let error = |source| AdminError::Socket {
            path: path.to_owned(),
            source,
        };
        if let Ok(known) = fs::symlink_metadata(path) {
            if !known.file_type().is_socket() {
                return Err(AdminError::NoSocket {
                    path: path.to_owned(),
                });
            }
            match UnixStream::connect(path) {
                Ok(_) => {
                    return Err(AdminError::InUse {
                        path: path.to_owned(),
                    });
                }
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(error)?;
                }
                Err(other) => return Err(error(other)),
            }
        }
        let listener = UnixListener::bind(path).map_err(error)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let file = fs::symlink_metadata(path).map_err(error)?;
        Ok(Self {
            path: path.to_owned(),
            listener: Some(listener),
            owner: file.uid(),
            inode: file.ino(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the admin socket's file stays behind");
        }
    }
}

/// Where nothing is said of it: in the folder that the systemd unit makes, and nowhere when there is none.
fn by_default() -> Option<Socket> {
    let path = Path::new(DEFAULT_ADMIN_SOCKET);
    if !path.parent().is_some_and(Path::is_dir) {
        return None;
    }
    Socket::bind(path)
        .inspect_err(|error| tracing::warn!(%error, "there is no admin socket"))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_file_is_for_its_owner_and_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = Socket::bind(&path).unwrap();
        let file = fs::symlink_metadata(&path).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(&path), Err(AdminError::InUse { .. })));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_behind_is_taken_over_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        // As after a kill -9: the file is there, and nobody listens.
        drop(UnixListener::bind(&path).unwrap());
        let first = Socket::bind(&path).unwrap();
        // A successor has its own there: the first one's end leaves it alone.
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        fs::write(&path, "somebody's notes").unwrap();
        assert!(matches!(
            Socket::bind(&path),
            Err(AdminError::NoSocket { .. })
        ));
        assert!(path.exists());
    }
}
