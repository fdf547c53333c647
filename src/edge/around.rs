//! What a stream around another one passes on as it is.

/// For a type with a field `stream`: everything but reading and writing.
macro_rules! passes_on {
    ($around:ty) => {
        #[async_trait::async_trait]
        impl pingora::protocols::Shutdown for $around {
            async fn shutdown(&mut self) {
                pingora::protocols::Shutdown::shutdown(&mut *self.stream).await;
            }
        }

        impl pingora::protocols::UniqueID for $around {
            fn id(&self) -> pingora::protocols::UniqueIDType {
                self.stream.id()
            }
        }

        impl pingora::protocols::Ssl for $around {
            fn get_ssl(&self) -> Option<&pingora::protocols::tls::TlsRef> {
                self.stream.get_ssl()
            }

            fn get_ssl_digest(&self) -> Option<std::sync::Arc<pingora::protocols::tls::SslDigest>> {
                self.stream.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<pingora::protocols::ALPN> {
                self.stream.selected_alpn_proto()
            }
        }

        impl pingora::protocols::GetTimingDigest for $around {
            fn get_timing_digest(&self) -> Vec<Option<pingora::protocols::TimingDigest>> {
                self.stream.get_timing_digest()
            }
        }

        impl pingora::protocols::GetProxyDigest for $around {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::raw_connect::ProxyDigest>> {
                self.stream.get_proxy_digest()
            }
        }

        impl pingora::protocols::GetSocketDigest for $around {
            fn get_socket_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::SocketDigest>> {
                self.stream.get_socket_digest()
            }
        }

        impl pingora::protocols::Peek for $around {}
    };
}

pub(in crate::edge) use passes_on;
