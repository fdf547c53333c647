// Opens a call of gRPC's interoperability service that does not end by itself, says so, and says how it ended.
// Built by scripts/grpc-interop; run by tests/it/flows/streams.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Its arguments: kind of call, address, authority, certificate authority, cookie.
func main() {
	kind, address, authority, ca, cookie := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	pem, err := os.ReadFile(ca)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithAuthority(authority),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	check(err)
	client := testpb.NewTestServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "cookie", cookie)
	soon := &testpb.ResponseParameters{Size: 3}
	never := &testpb.ResponseParameters{Size: 3, IntervalUs: 600_000_000}
	var call grpc.ClientStream
	switch kind {
	case "server":
		stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{soon, never}})
		check(err)
		_, err = stream.Recv()
		check(err)
		call = stream
	case "client":
		stream, err := client.StreamingInputCall(ctx)
		check(err)
		check(stream.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: []byte("abc")}}))
		call = stream
	case "bidirectional":
		stream, err := client.FullDuplexCall(ctx)
		check(err)
		check(stream.Send(&testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{soon}}))
		_, err = stream.Recv()
		check(err)
		call = stream
	default:
		check(fmt.Errorf("no kind of call: %s", kind))
	}
	fmt.Println("open")
	end := status.Convert(call.RecvMsg(&testpb.StreamingInputCallResponse{}))
	fmt.Println(int(end.Code()), end.Message())
}
