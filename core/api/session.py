"""Sign in with a name and password, and out again, for programs that people use; others have API keys."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from core.access.sessions import Refused
from core.api.access import Caller, require
from core.api.problems import Unavailable, documented, retry_after

router = APIRouter(tags=["operation"])


class SignIn(BaseModel):
    """A local account's name and password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=64, examples=["mei"])
    password: str = Field(min_length=1, max_length=256, json_schema_extra={"format": "password"})


class SignedIn(BaseModel):
    """A session. The token is told this once."""

    token: str = Field(description="Send it as `Authorization: Bearer TOKEN`.")
    name: str = Field(description="Whose it is.", examples=["mei"])
    roles: list[str] = Field(description="What its owner may do.", examples=[["analyst"]])
    expires: datetime = Field(description="When it ends, however much it is used; UTC.")


class Myself(BaseModel):
    """Who the caller is."""

    name: str = Field(description="The account's or the key's name.", examples=["mei"])
    roles: list[str] = Field(description="What the caller may do; admin: everything.", examples=[["analyst"]])


@router.post(
    "/session", response_model=SignedIn, summary="Sign in with a name and password", responses=documented(401, 429, 503)
)
def sign_in(given: SignIn, request: Request) -> Any:
    """A token for some hours. After too many wrong passwords a name, or an address, has to wait (429)."""
    address = request.client.host if request.client else ""
    try:
        session, token = request.app.state.access.sessions.sign_in(given.name, given.password, address, "api")
    except SQLAlchemyError:
        raise Unavailable("The accounts cannot be read; try again.", 5) from None
    except Refused as refused:
        if refused.wait_s:
            raise HTTPException(
                429, "Too many wrong passwords; try again later.", retry_after(refused.wait_s)
            ) from None
        raise HTTPException(401, "The name or the password is wrong.", {"WWW-Authenticate": "Bearer"}) from None
    user = session.user
    return {"token": token, "name": user.name, "roles": list(user.roles), "expires": session.expires}


@router.get("/session", response_model=Myself, summary="Who am I?", responses=documented(401, 503))
async def who(caller: Annotated[Caller, Depends(require())]) -> Any:
    """The name and roles behind the key or token that was sent."""
    return {"name": caller.name, "roles": list(caller.others or (caller.role,))}


@router.delete(
    "/session",
    status_code=204,
    summary="Sign out",
    responses=documented(401, 503),
    dependencies=[Depends(require())],
)
def sign_out(request: Request) -> Response:
    """End the session whose token was sent; a key is not ended by this."""
    request.app.state.access.sessions.sign_out(request.headers.get("authorization", "").partition(" ")[2].strip())
    return Response(status_code=204)
